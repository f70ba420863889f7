//! The executor as a program of its own: no C library, no standard library, some tens of kilobytes.
#![no_std]
#![no_main]

fn main(_: kernel::entry::Arguments) -> i32 {
    coracle_executor::run()
}

kernel::entry!(main);
