//! Work that all cores share, and whose results are taken in order.

use std::io;
use std::num::NonZero;

/// Most at once: more memory than that is not taken, whatever cores there are.
const WORKERS_MAX: usize = 8;
/// Jobs for each worker before their results are taken.
const JOBS: usize = 8;

/// Does each job, several at once, and takes what comes of them in the order of the jobs.
///
/// # Errors
/// The first that a job or `take` ends in.
pub(super) fn in_order<T: Sync, R: Send>(
    jobs: &[T],
    work: &(dyn Fn(&T) -> io::Result<R> + Sync),
    take: &mut dyn FnMut(&T, R) -> io::Result<()>,
) -> io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = cores.min(WORKERS_MAX);
    for batch in jobs.chunks(workers * JOBS) {
        let results = std::thread::scope(|scope| {
            let share = |number| batch.iter().skip(number).step_by(workers);
            let threads: Vec<_> = (0..workers)
                .map(|number| scope.spawn(move || share(number).map(work).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_default().into_iter())
                .collect::<Vec<_>>()
        });
        let mut results = results;
        for (number, job) in batch.iter().enumerate() {
            let result = results.get_mut(number % workers).and_then(Iterator::next);
            let failed = || Err(io::Error::other("a thread failed"));
            take(job, result.unwrap_or_else(failed)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_an_error_ends_it() {
        let jobs: Vec<u32> = (0..1000).collect();
        let mut came = Vec::new();
        let mut take = |job: &u32, twice: u32| {
            assert_eq!(twice, job * 2);
            came.push(*job);
            Ok(())
        };
        in_order(&jobs, &|job| Ok(job * 2), &mut take).unwrap();
        assert_eq!(came, jobs);
        let fails = |job: &u32| match job {
            700 => Err(io::Error::other("no")),
            job => Ok(*job),
        };
        let mut last = 0;
        let failed = in_order(&jobs, &fails, &mut |job, _| {
            last = *job;
            Ok(())
        });
        assert!(failed.is_err() && last == 699);
    }
}
