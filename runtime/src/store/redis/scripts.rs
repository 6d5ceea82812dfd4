//! The scripts that run in the server. Each is one atomic step.

/// A script made of parts in `scripts/`, after what all of them share. It is made once.
macro_rules! script {
    ($($part:literal)+) => {{
        static SCRIPT: std::sync::LazyLock<redis::Script> = std::sync::LazyLock::new(|| {
            redis::Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                $(include_str!(concat!("scripts/", $part, ".lua")),)+
            ))
        });
        &*SCRIPT
    }};
}

#[cfg(test)]
mod tests {
    use crate::store::{CHANGES_KEPT, COUNT_MAX, NODE_FORGOTTEN_AFTER, Resolution, SILENT_AFTER};

    #[test]
    fn scripts_and_code_agree_on_their_numbers() {
        let prelude = include_str!("scripts/prelude.lua");
        for number in [CHANGES_KEPT, NODE_FORGOTTEN_AFTER, COUNT_MAX] {
            assert!(prelude.contains(&number.to_string()), "{number}");
        }
        let shares = include_str!("scripts/shares.lua");
        assert!(shares.contains(&format!("local SILENT_AFTER = {SILENT_AFTER}\n")));
        let settle = include_str!("scripts/settle.lua");
        for resolution in Resolution::ALL {
            let curve = format!("', {}, {} }}", resolution.width(), resolution.kept());
            assert!(settle.contains(&curve), "{curve}");
        }
    }
}
