//! The scripts that run in the server. Each is one atomic step.

use redis::Script;
use std::sync::LazyLock;

macro_rules! scripts {
    ($($name:ident = $($part:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                $(include_str!(concat!("scripts/", $part, ".lua")),)+
            ))
        });)*
    };
}

scripts! {
    USER = "user";
    USER_CREATE = "user_create";
    USER_CHANGE = "user_change";
    USER_DELETE = "user_delete";
    USER_LIST = "user_list";
    USER_ADJUST = "parts" "user_adjust";
    OF_USER = "of_user";
    SETTLE = "parts" "settle";
    POP_ALIVE = "pop_alive";
    POP_GONE = "pop_gone";
    POP_DRAIN = "pop_drain";
    POP_DRAINING = "pop_draining";
    POPS = "pops";
    TIDY = "tidy";
    NODE = "node";
    NODE_ONLINE = "node_online";
    NODE_OFFLINE = "node_offline";
    NODES_MEASURED = "nodes_measured";
    NODES = "nodes";
    POP_NODES = "pop_nodes";
    ASSIGN_NODES = "assign_nodes";
    BLACKLIST = "blacklist";
    BLACKLIST_ADD = "blacklist_add";
    BLACKLIST_REMOVE = "blacklist_remove";
    BLACKLISTED = "blacklisted";
    ORDER = "order";
    CHANGES = "changes";
    TOKEN = "token";
    TOKEN_CREATE = "token_create";
    TOKEN_LIST = "token_list";
    TOKEN_REVOKE = "token_revoke";
    AUDIT = "audit";
    AUDIT_APPEND = "audit_append";
    AUDIT_HEAD = "audit_head";
    META = "meta";
    SWAP_META = "swap_meta";
}

#[cfg(test)]
mod tests {
    use crate::store::{CHANGES_KEPT, COUNT_MAX, NODE_FORGOTTEN_AFTER, Resolution};

    #[test]
    fn scripts_and_code_agree_on_their_numbers() {
        let prelude = include_str!("scripts/prelude.lua");
        for number in [CHANGES_KEPT, NODE_FORGOTTEN_AFTER, COUNT_MAX] {
            assert!(prelude.contains(&number.to_string()), "{number}");
        }
        let settle = include_str!("scripts/settle.lua");
        for resolution in Resolution::ALL {
            let curve = format!("', {}, {} }}", resolution.width(), resolution.kept());
            assert!(settle.contains(&curve), "{curve}");
        }
    }
}
