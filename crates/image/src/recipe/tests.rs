//! Images built from programs, from directories and with units of their own.

use std::fs;

use super::*;
use crate::crew::Crew;
use crate::inspect::inspect;

/// A unit file in a directory.
fn unit(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, "[Service]\nExecStart=/usr/bin/true\n").unwrap();
    path
}

#[test]
fn an_image_of_a_program_has_a_name_users_and_units() {
    let dir = tempfile::tempdir().unwrap();
    let program = Recipe {
        version: Some("2.1".into()),
        units: vec![
            unit(dir.path(), "shell@.service"),
            unit(dir.path(), "shell.socket"),
        ],
        ..Recipe::new(Source::Program("/bin/sh".into()))
    };
    let image = dir.path().join("shell.psi");
    let built = build(&program, &image, &Options::default()).unwrap();
    assert_eq!(
        (built.name.as_str(), built.version.as_deref()),
        ("shell", Some("2.1"))
    );
    assert_eq!(built.units, ["shell.socket", "shell@.service"]);
    let again = dir.path().join("again.psi");
    build(&program, &again, &Options::default()).unwrap();
    assert!(
        fs::read(&image).unwrap() == fs::read(again).unwrap(),
        "the same program gives the same bytes"
    );
    assert!(
        inspect(&File::open(image).unwrap(), &Crew::of_processors())
            .unwrap()
            .intact
    );
}

/// The refusal of a program.
fn refusal(program: &Recipe) -> String {
    let out = tempfile::tempdir().unwrap();
    build(program, &out.path().join("x.psi"), &Options::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = Recipe::new(Source::Program(unit(dir.path(), "x.service")));
    assert_eq!(
        refusal(&program),
        format!(
            "cannot collect the libraries of {}/x.service",
            dir.path().display()
        )
    );
    let named = Recipe {
        name: Some("../evil".into()),
        units: vec![unit(dir.path(), "x.service")],
        ..Recipe::new(Source::Program("/bin/sh".into()))
    };
    assert_eq!(
        refusal(&named),
        "os-release: ID=../evil can't name a portable: letters, digits and . _ - are allowed"
    );
}

/// What is in an image's units, or why there is none.
fn units(recipe: &Recipe) -> String {
    let out = tempfile::tempdir().unwrap();
    match build(recipe, &out.path().join("x.psi"), &Options::default()) {
        Ok(built) => {
            let version = built.version.unwrap_or_default();
            let text = built.texts.join("");
            let commands = text.lines().filter(|line| line.starts_with("Exec"));
            let commands: Vec<&str> = commands.collect();
            format!(
                "{} {version}: {} {}",
                built.name,
                built.units.join(" "),
                commands.join(" ")
            )
        }
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn a_program_without_a_unit_gets_one() {
    let recipe = Recipe::new(Source::Program("/bin/dash".into()));
    assert_eq!(
        units(&recipe),
        "dash 0: dash.service ExecStart=/usr/bin/dash"
    );
}

#[test]
fn a_directory_is_named_and_run_as_the_recipe_says() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("bin")).unwrap();
    fs::write(dir.path().join("bin/run"), "x").unwrap();
    fs::write(dir.path().join("psi.toml"), "x").unwrap();
    let mut recipe = Recipe::new(Source::Directory(dir.path().into()));
    assert_eq!(
        units(&recipe),
        "refused: nothing says what the portable is called: say --name NAME, or `name` in the section [image] of psi.toml"
    );
    recipe.name = Some("boat".into());
    recipe.version = Some("7".into());
    assert!(units(&recipe).starts_with("refused: no unit file boat.* or boat-*"));
    recipe.service.command = vec!["run".into(), "$x".into()];
    assert_eq!(
        units(&recipe),
        "boat 7: boat.service ExecStart=/bin/run $$x"
    );
    fs::create_dir_all(dir.path().join("etc")).unwrap();
    fs::write(
        dir.path().join("etc/os-release"),
        "ID=debian\nVERSION_ID=13\nIMAGE_ID=old\n",
    )
    .unwrap();
    assert_eq!(
        units(&recipe),
        "boat 7: boat.service ExecStart=/bin/run $$x"
    );
    recipe.exclude = vec!["/bin".into()];
    assert_eq!(
        units(&recipe),
        "refused: no unit was given, and none can be made"
    );
}

/// What is told of a recipe from packages before any is fetched: without that, it would be about mmdebstrap, or come after it.
fn told_early(change: impl FnOnce(&Path, &mut Recipe)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let packages = Packages {
        names: vec!["hello".into()],
        suite: None,
        // Nobody would wait for it.
        mirror: Some("file:///nonexistent".into()),
    };
    let mut recipe = Recipe::new(Source::Packages(packages));
    change(dir.path(), &mut recipe);
    let error = build(&recipe, &dir.path().join("x.psi"), &Options::default()).unwrap_err();
    let mut told = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told.replace(dir.path().to_str().unwrap(), "DIR")
}

#[test]
fn what_is_wrong_in_a_recipe_is_told_before_packages_are_fetched() {
    let service = |change: fn(&mut Service)| told_early(|_, recipe| change(&mut recipe.service));
    let none = "no unit was given, and none can be made: ";
    assert_eq!(
        service(|service| service.ports = vec!["none".into()]),
        format!("{none}ports: \"none\" is no port: `80`, `80/tcp` or `53/udp` is")
    );
    let told = service(|service| service.working_directory = Some("data".into()));
    assert_eq!(
        told,
        format!("{none}working-directory: \"data\" is no absolute path")
    );
    let told = told_early(|_, recipe| recipe.name = Some("two words".into()));
    assert!(told.contains("two words"), "{told}");
    let told = told_early(|dir, recipe| recipe.units = vec![dir.join("hello.service")]);
    assert!(
        told.starts_with("cannot read DIR/hello.service: "),
        "{told}"
    );
    let told = told_early(|dir, recipe| recipe.units = vec![unit(dir, "hello.unit")]);
    assert_eq!(
        told,
        "DIR/hello.unit has no file name that could be a unit's"
    );
    let told = told_early(|dir, recipe| recipe.extra = vec![(dir.join("a"), "/etc/a".into())]);
    assert!(told.starts_with("cannot read DIR/a: "), "{told}");
    let told = told_early(|dir, recipe| recipe.extra = vec![(unit(dir, "a"), "etc/a".into())]);
    assert_eq!(told, "etc/a is no absolute path of the image");
}
