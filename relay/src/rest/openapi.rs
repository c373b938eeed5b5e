//! What the description of this API says beside its routes. Must not know any one route.

use super::problem::Problem;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};

const BEARER: &str = "token";

/// The description without routes.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Comptoir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Records of a workspace, read and written through the relay's own device."))
        .build();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("PASETO v4.public").build();
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(scheme))
        .schema(Problem::name(), Problem::schema())
        .build();
    let security = SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []);
    OpenApiBuilder::new().info(info).components(Some(components)).security(Some([security])).build()
}

/// The description with what every route may answer.
pub(super) fn finished(mut description: OpenApi) -> OpenApi {
    for path in description.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete];
        operations.into_iter().filter_map(Option::as_mut).for_each(refusals);
    }
    description
}

fn refusals(operation: &mut Operation) {
    let ranges = [
        ("401", "There is no good token"),
        ("403", "The token does not open this"),
        ("4XX", "Refused: the problem says what to do"),
        ("5XX", "Not possible now: the problem says what to do"),
    ];
    for (status, said) in ranges {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response = ResponseBuilder::new().description(said).content("application/problem+json", content).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
}
