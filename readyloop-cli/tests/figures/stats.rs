//! Medians, percentiles, and rounds that take turns.

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The smallest value that at least this share of all values does not exceed.
pub fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// How often each thing compared is measured.
pub fn rounds() -> usize {
    std::env::var("READYLOOP_ROUNDS").map_or(5, |text| text.parse().unwrap())
}

/// Measures each subject once, then each again, for so many rounds. Returns every subject's
/// measurements.
pub fn take_turns<S, M>(
    rounds: usize,
    subjects: &mut [S],
    mut measure: impl FnMut(&mut S) -> M,
) -> Vec<Vec<M>> {
    let mut measured: Vec<Vec<M>> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (subject, measured) in subjects.iter_mut().zip(&mut measured) {
            measured.push(measure(subject));
        }
    }
    measured
}

/// The median over the rounds of one of the things measured.
pub fn median_of<M>(measured: &[M], value: impl Fn(&M) -> f64) -> f64 {
    median(&measured.iter().map(value).collect::<Vec<f64>>())
}

#[test]
fn a_median_and_a_percentile_are_values_that_came() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&[1.0]), 1.0);
    let sorted: Vec<u32> = (1..=200).collect();
    let shares = [0.0, 0.005, 0.5, 0.99, 0.9901, 1.0];
    assert_eq!(shares.map(|share| percentile(&sorted, share)), [1, 1, 100, 198, 199, 200]);
}

#[test]
fn subjects_take_turns() {
    let mut order = Vec::new();
    let measured = take_turns(2, &mut ["one", "two"], |subject| {
        order.push(*subject);
        order.len()
    });
    assert_eq!(order, ["one", "two", "one", "two"]);
    assert_eq!(measured, [[1, 3], [2, 4]]);
}
