//! What the types of an operation say about themselves, for the OpenAPI document.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

/// What the types of an operation say about it.
#[derive(Default)]
pub(super) struct Description {
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answer: Option<(&'static str, RefOr<Schema>)>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    pub(super) fn body<T: ToSchema>(&mut self) {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>()));
        self.body = Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content("application/json", content.build())
                .build(),
        );
    }

    pub(super) fn query<T: IntoParams>(&mut self) {
        self.parameters
            .extend(T::into_params(|| Some(ParameterIn::Query)));
    }

    /// The name in the path; what it is called there, and so what it looks like, is filled in later.
    pub(super) fn name(&mut self) {
        self.parameters.push(
            ParameterBuilder::new()
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .build(),
        );
    }

    pub(super) fn answer<T: ToSchema>(&mut self) {
        self.answer = Some(("application/json", self.schema::<T>()));
    }

    pub(super) fn answer_text(&mut self, kind: &'static str) {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        self.answer = Some((kind, text.into()));
    }

    /// Keeps a schema and those it needs, and returns a reference to it.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name()).into()
    }
}
