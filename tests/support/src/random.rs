//! Random numbers for tests: a seeded generator, and parameters from the environment.

/// Seeded random number generator: [`Rng::with_seed`] gives the same sequence for the same seed, so a failed random test
/// can be repeated; [`Rng::new`] gives another sequence each time.
pub use fastrand::Rng;

/// Reads a parameter of a test, such as its seed or its number of rounds, from an environment variable; `default` if the
/// variable is not set.
///
/// # Panics
/// When the variable is not a number.
pub fn env_number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let numbers = |seed| {
            let mut rng = Rng::with_seed(seed);
            [(); 8].map(|()| rng.u64(..))
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn an_unset_variable_gives_the_default() {
        assert_eq!(env_number("PILOTHOUSE_TEST_NO_SUCH", 12), 12);
    }
}
