//! How a work's time grows with the number of units.

use super::figure::{Figure, Times};
use super::sides::Side;

/// Medians of one work at several sizes, for each side.
#[derive(Default)]
pub(super) struct Growth {
    points: Vec<(f64, [f64; 2])>,
}

impl Growth {
    /// What both took for `count` units.
    pub(super) fn note(&mut self, count: usize, times: &[Times; 2]) {
        let seconds = times.each_ref().map(|one| one.median().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        self.points.push((count as f64, seconds));
    }

    /// The exponents: 1 is a time that grows as the number does.
    pub(super) fn figure(&self, work: &str) -> Figure {
        let mut figure = Figure::new(format!("{work}: time grows with the power"), "");
        for (index, side) in Side::ALL.into_iter().enumerate() {
            let of_side = |(count, both): &(f64, [f64; 2])| Some((*count, *both.get(index)?));
            let points: Vec<(f64, f64)> = self.points.iter().filter_map(of_side).collect();
            figure = figure.value(side.name(), exponent(&points));
        }
        figure
    }
}

/// The slope of the line through the last two points on logarithmic scales: below them fixed costs hide the growth.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let [.., (few, before), (many, after)] = points else {
        return f64::NAN;
    };
    (after / before).ln() / (many / few).ln()
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn a_square_has_the_exponent_two_whatever_a_small_number_costs() {
        let points = [(1.0, 70.0), (10.0, 100.0), (100.0, 10_000.0)];
        assert!((exponent(&points) - 2.0).abs() < 1e-9);
    }
}
