//! Attach and start of an image that is already in the store.

use anyhow::Result;
use testkit::Instance;

use super::figure::{Figure, Times};
use super::timing;
use crate::demo;

const ROUNDS: usize = 15;

/// `coracle start hello` of a detached, stored image of 3 MB: at most 30 ms.
pub(super) fn attach_and_start() -> Result<Vec<Figure>> {
    let instance = Instance::new();
    let image = demo::hello_image(instance.folder())?;
    let image = image.to_string_lossy().into_owned();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        instance.ok(&[
            "start",
            "--insecure",
            &image,
            "--grant=listen:127.0.0.1:8080",
        ]);
        instance.ok(&["detach", "--now", "hello"]);
        times.push(timing::once(&mut instance.command(&["start", "hello"]))?);
        instance.ok(&["purge", "--forget", "hello"]);
    }
    Ok(vec![
        Figure::new("attach and start of a stored 3 MB image", "µs")
            .times("coracle", &Times::new(times))
            .at_most(30_000.0),
    ])
}
