//! The OpenAPI document, made from the declarations of the operations.

use super::answer::Answer;
use super::description::Description;
use super::input::Input;
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, ProblemView};
use super::{rules, words};
use crate::store::Role;
use std::collections::BTreeMap;
use utoipa::PartialSchema as _;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterIn, Paths};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref,
};

/// The security schemes' names.
const ADMIN_TOKEN: &str = "admin_token";
const JOIN_SECRET: &str = "join_secret";

/// An operation and its description.
pub(super) struct Described {
    operation: Operation,
    act: bool,
    status: u16,
    input: Description,
    answer: Description,
}

impl Described {
    pub(super) fn new<I: Input, A: Answer>(operation: Operation, act: bool) -> Self {
        let (mut input, mut answer) = (Description::default(), Description::default());
        I::describe(&mut input);
        A::describe(&mut answer);
        Self {
            operation,
            act,
            status: A::STATUS.as_u16(),
            input,
            answer,
        }
    }

    /// Returns every code that this operation may refuse with.
    fn problems(&self) -> Vec<ApiCode> {
        let Operation {
            access, problems, ..
        } = self.operation;
        let mut codes = vec![ApiCode::TimedOut];
        match access {
            Access::Open => return codes,
            Access::Join => codes.push(ApiCode::Unauthorized),
            Access::Role(role) => {
                codes.extend([ApiCode::Unauthorized, ApiCode::StoreUnavailable]);
                if role > Role::ReadOnly {
                    codes.push(ApiCode::Forbidden);
                }
            }
        }
        if self.input.body.is_some() {
            codes.extend([ApiCode::BadRequest, ApiCode::TooLarge]);
        }
        for parameter in &self.input.parameters {
            codes.push(match parameter.parameter_in {
                ParameterIn::Path => ApiCode::NotFound,
                ParameterIn::Query | ParameterIn::Header | ParameterIn::Cookie => {
                    ApiCode::BadRequest
                }
            });
        }
        codes.extend(problems);
        codes
    }

    fn build(&self) -> OperationBuilder {
        let operation = self.operation;
        let mut success = ResponseBuilder::new().description("Done");
        if let Some((kind, schema)) = &self.answer.answer {
            let content = ContentBuilder::new().schema(Some(schema.clone()));
            success = success.content(*kind, content.build());
        }
        let mut built = OperationBuilder::new()
            .operation_id(Some(operation.id))
            .summary(Some(operation.summary))
            .tag(tag(&operation))
            .request_body(self.input.body.clone())
            .response(self.status.to_string(), success.build())
            .extensions(Some(Extensions::from_iter([
                ("x-titan-access", access(operation.access).into()),
                ("x-titan-recorded", serde_json::Value::Bool(self.act)),
            ])));
        for parameter in &self.input.parameters {
            let mut parameter = parameter.clone();
            if parameter.parameter_in == ParameterIn::Path {
                parameter.name = path_parameter(operation.path);
                parameter.schema = Some(words::in_path(&parameter.name));
            }
            built = built.parameter(parameter);
        }
        // One answer for each status, with the codes it may bear.
        let mut statuses = BTreeMap::<u16, Vec<&str>>::new();
        for code in self.problems() {
            let (word, status, _) = code.row();
            let words = statuses.entry(status.as_u16()).or_default();
            if !words.contains(&word) {
                words.push(word);
            }
        }
        for (status, words) in statuses {
            let schema = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let response = ResponseBuilder::new()
                .description(words.join(", "))
                .content("application/problem+json", content);
            built = built.response(status.to_string(), response.build());
        }
        match operation.access {
            Access::Open => built,
            Access::Join => built.security(requirement(JOIN_SECRET)),
            Access::Role(_) => built.security(requirement(ADMIN_TOKEN)),
        }
    }
}

/// Makes the document of all operations.
pub(super) fn document(described: &[Described]) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new()
        .schema("Problem", ProblemView::schema())
        .security_scheme(
            ADMIN_TOKEN,
            bearer("An admin token; `x-titan-access` says of which role at least"),
        )
        .security_scheme(JOIN_SECRET, bearer("The secret that edges join with"));
    for one in described {
        for (name, schema) in one.input.schemas.iter().chain(&one.answer.schemas) {
            components = components.schema(name.clone(), schema.clone());
        }
        let method = match one.operation.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Put => HttpMethod::Put,
            Method::Patch => HttpMethod::Patch,
            Method::Delete => HttpMethod::Delete,
        };
        paths.add_path_operation(one.operation.path, vec![method], one.build());
    }
    let mut components = components.build();
    rules::add(&mut components);
    let info = InfoBuilder::new()
        .title("Titan manager")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Times are Unix seconds, amounts bytes, rates bytes per second. Errors are \
             application/problem+json with a `code` that does not change.",
        ));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components))
        .build()
}

fn tag(operation: &Operation) -> &'static str {
    if operation.legacy {
        return "older paths";
    }
    operation.id.split('.').next().unwrap_or_default()
}

const fn access(access: Access) -> &'static str {
    match access {
        Access::Open => "open",
        Access::Join => "join",
        Access::Role(Role::ReadOnly) => "read-only",
        Access::Role(Role::Operator) => "operator",
        Access::Role(Role::Admin) => "admin",
    }
}

/// What stands between the braces of a path.
fn path_parameter(path: &str) -> String {
    let inner = path
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    inner.map_or_else(String::new, |(name, _)| name.to_owned())
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>(scheme, [])
}

fn bearer(description: &str) -> SecurityScheme {
    SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(description))
            .build(),
    )
}
