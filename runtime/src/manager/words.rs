//! What texts look like that stand in many requests, for the OpenAPI document. The types only describe: handlers
//! take texts as they come and check them, so that what is wrong with one is said in words.

use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An id of a node or POP: what [`is_id`](crate::token::is_id) says.
pub(super) enum Id {}

/// A user's name: what [`is_user_name`](crate::auth::is_user_name) says.
pub(super) enum UserName {}

/// A password that somebody chose.
pub(super) enum Password {}

/// An address, IPv4 or IPv6, or a block of them: what [`Prefix`](crate::store::Prefix) says.
pub(super) enum Address {}

/// The id of a token that was made by this API.
enum TokenId {}

/// The public key of a manager.
enum ManagerKey {}

/// Returns what stands in a path under this name.
pub(super) fn in_path(name: &str) -> RefOr<Schema> {
    match name {
        "name" => UserName::schema(),
        "id" | "pop" => Id::schema(),
        "ip" => Address::schema(),
        "token_id" => TokenId::schema(),
        "key" => ManagerKey::schema(),
        other => unreachable!("`{other}` in a path is described here"),
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        short("^[._-]*[A-Za-z0-9][A-Za-z0-9._-]*$").into()
    }
}

impl PartialSchema for UserName {
    fn schema() -> RefOr<Schema> {
        short("^[A-Za-z0-9][A-Za-z0-9._@]*$").into()
    }
}

impl PartialSchema for TokenId {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9a-f]{16}$")).into()
    }
}

impl PartialSchema for ManagerKey {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9a-f]{64}$")).into()
    }
}

impl PartialSchema for Address {
    /// Patterns do not count bits: of blocks these are the usual ones, in which no bit can be set behind the prefix.
    fn schema() -> RefOr<Schema> {
        const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        const GROUP: &str = "(0|[1-9a-f][0-9a-f]{0,3})";
        let form = |format| text().format(Some(SchemaFormat::KnownFormat(format)));
        let block = |pattern: String| text().pattern(Some(pattern));
        AnyOfBuilder::new()
            .description(Some(
                "An address, or a block such as `2001:db8::/64`; also one with another prefix, from 8 bits (IPv4) \
                 or 16 (IPv6) on, with no bit set behind it.",
            ))
            .item(form(KnownFormat::Ipv4))
            .item(form(KnownFormat::Ipv6))
            .item(block(format!(
                "^({BYTE}\\.0\\.0\\.0/8|({BYTE}\\.){{2}}0\\.0/16|({BYTE}\\.){{3}}0/24)$"
            )))
            .item(block(format!(
                "^{GROUP}(:{GROUP}){{0,1}}::/32$|^{GROUP}(:{GROUP}){{0,2}}::/48$|^{GROUP}(:{GROUP}){{0,3}}::/64$"
            )))
            .into()
    }
}

impl PartialSchema for Password {
    /// Its limit is in bytes, of which schemas know nothing: 63 characters always fit.
    fn schema() -> RefOr<Schema> {
        let plain = text()
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[\\x00-\\x7f]*$"));
        AnyOfBuilder::new()
            .description(Some("At most 255 bytes in UTF-8."))
            .item(text().min_length(Some(1)).max_length(Some(63)))
            .item(plain)
            .into()
    }
}

impl ToSchema for Id {}
impl ToSchema for UserName {}
impl ToSchema for Password {}
impl ToSchema for Address {}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text of 1 to 64 characters.
fn short(pattern: &str) -> ObjectBuilder {
    text()
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some(pattern))
}
