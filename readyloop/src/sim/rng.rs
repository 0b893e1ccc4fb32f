//! A seeded random number generator: SplitMix64 (Steele, Lea, Flood, 2014).
//!
//! It exists so that one seed gives one history, on every machine and for as long as this file
//! stays as it is. It is not for secrets.

/// A stream of random numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`; any seed is as good as any other.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, each as likely as any other (to within 2⁻⁶⁴).
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below 0");
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// Whether something with this chance, in thousandths, happens now.
    ///
    /// A chance of 0 draws nothing, so that a fault that is off does not shift the stream.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < per_mille as usize
    }

    /// A part of `whole`, from 1 to all of it; small, middling and large parts are equally likely.
    ///
    /// # Panics
    /// When `whole` is 0.
    pub fn piece(&mut self, whole: usize) -> usize {
        let width = self.below(whole.ilog2() as usize + 2);
        1 + self.below(whole.min(1 << width))
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs of the reference implementation (splitmix64.c, Vigna) for seed 1234567.
        let mut rng = Rng::new(1234567);
        assert_eq!(rng.bits(), 6457827717110365317);
        assert_eq!(rng.bits(), 3203168211198807973);
        assert_eq!(rng.bits(), 9817491932198370423);
    }

    #[test]
    fn a_piece_is_never_nothing_and_never_more_than_the_whole() {
        let mut rng = Rng::new(1);
        for whole in 1..200 {
            let pieces: Vec<usize> = (0..400).map(|_| rng.piece(whole)).collect();
            assert!(pieces.iter().all(|&piece| (1..=whole).contains(&piece)), "of {whole}");
            assert!(pieces.contains(&1) && pieces.iter().any(|&piece| piece * 2 > whole));
        }
    }

    #[test]
    fn a_chance_is_what_it_says() {
        let mut rng = Rng::new(2);
        let hits = (0..100_000).filter(|_| rng.chance(250)).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100,000");
        assert!(!rng.chance(0) && rng.chance(1000));
    }
}
