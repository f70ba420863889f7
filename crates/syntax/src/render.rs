//! Diagnostics as pictures for a terminal: the line, a caret, the hint.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity};

/// The picture without colours.
#[must_use]
pub fn render(diagnostic: &Diagnostic) -> String {
    draw(&Renderer::plain(), diagnostic)
}

/// The picture with terminal colours.
#[must_use]
pub fn render_colored(diagnostic: &Diagnostic) -> String {
    draw(&Renderer::styled(), diagnostic)
}

fn draw(renderer: &Renderer, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    if diagnostic.line == 0 {
        let origin = annotate_snippets::Origin::path(diagnostic.file.as_ref());
        return renderer.render(&[hinted(title.element(origin), diagnostic)]);
    }
    let annotation = AnnotationKind::Primary.span(diagnostic.mark.clone());
    let line = usize::try_from(diagnostic.line).unwrap_or(usize::MAX);
    let snippet = Snippet::source(diagnostic.excerpt.as_str())
        .line_start(line)
        .path(diagnostic.file.as_ref())
        .annotation(annotation);
    renderer.render(&[hinted(title.element(snippet), diagnostic)])
}

fn hinted<'a>(group: Group<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    }
}
