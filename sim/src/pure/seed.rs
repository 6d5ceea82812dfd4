//! Seeds as people write them: with the generator that draws from them.

use core::fmt;
use core::str::FromStr;

/// The version of what seeds draw. Raised whenever a seed comes to draw something else: an older seed then says
/// that it is one, instead of running as another scenario. Files of scenarios need none, they are written out.
pub const GENERATOR: u32 = 2;

/// A seed of the present generator, written as `GENERATOR:NUMBER`. The number alone is read, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{GENERATOR}:{}", self.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (generator, number) = match text.split_once(':') {
            Some((generator, number)) => (generator.parse().ok(), number),
            None => (Some(GENERATOR), text),
        };
        let (Some(generator), Ok(number)) = (generator, number.parse()) else {
            return Err("a seed is a number, or generator:number".to_owned());
        };
        if generator != GENERATOR {
            return Err(format!(
                "a seed of generator {generator} draws something else by now, with {GENERATOR}"
            ));
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATOR, Seed};

    #[test]
    fn a_seed_is_read_as_it_is_written_and_one_of_another_generator_says_so() {
        let seed = Seed(7_000_123);
        assert_eq!(seed.to_string().parse(), Ok(seed));
        assert_eq!("7000123".parse(), Ok(seed));
        let older = format!("{}:7000123", GENERATOR - 1).parse::<Seed>();
        assert!(older.is_err_and(|error| error.contains("something else")));
        for wrong in ["", ":", "2:", ":7", "2:7:1", "-1", "2:-1", "x:7"] {
            assert!(wrong.parse::<Seed>().is_err(), "{wrong}");
        }
    }
}
