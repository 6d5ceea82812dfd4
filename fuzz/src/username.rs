//! A user name with wishes.

use titan_core::ingress::Problem;
use titan_core::ingress::username::{USER_NAME_LEN_MAX, UserName};
use titan_proto::Code;

/// Takes a name apart, and again in another case and with one more pair.
///
/// # Panics
/// Panics if the user is another one, case matters in a key, something is ignored, or a refusal
/// has no words.
pub fn username(data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    let parsed = UserName::parse(&name);
    assert_eq!(Some(parsed.user), name.split('-').next());
    match &parsed.wishes {
        Ok(wishes) => {
            assert!(name.len() <= USER_NAME_LEN_MAX);
            let loud: Vec<_> = name
                .split('-')
                .enumerate()
                .map(|(at, part)| match at % 2 {
                    1 => part.to_uppercase(),
                    _ => part.to_owned(),
                })
                .collect();
            let loud = loud.join("-");
            assert_eq!(UserName::parse(&loud).wishes.as_ref(), Ok(wishes));
            let more = format!("{name}-ip-4");
            if more.len() <= USER_NAME_LEN_MAX {
                let more = UserName::parse(&more).wishes;
                assert_ne!(more.as_ref(), Ok(wishes), "a wish is ignored");
            }
            if let Err(bad) = wishes.check_in_force() {
                assert_eq!(
                    (bad.code(), bad.problem()),
                    (Code::NotInForce, &Problem::NotInForce)
                );
            }
        }
        Err(bad) => {
            assert_eq!(bad.code(), Code::BadParameters);
            assert!(!bad.to_string().chars().any(char::is_control));
        }
    }
}
