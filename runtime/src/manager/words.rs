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

/// An address, IPv4 or IPv6.
pub(super) enum Address {}

/// The id of a token that was made by this API.
enum TokenId {}

/// Returns what stands in a path under this name.
pub(super) fn in_path(name: &str) -> RefOr<Schema> {
    match name {
        "name" => UserName::schema(),
        "id" | "pop" => Id::schema(),
        "ip" => Address::schema(),
        "token" => TokenId::schema(),
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

impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        let form = |format| text().format(Some(SchemaFormat::KnownFormat(format)));
        AnyOfBuilder::new()
            .item(form(KnownFormat::Ipv4))
            .item(form(KnownFormat::Ipv6))
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
