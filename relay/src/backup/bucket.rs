//! A bucket of an S3-compatible server as a place. Must not know what is kept in it.
//!
//! Every file is sent by one request and appears as a whole when the server has all of it: nothing is ever there by half, and
//! nothing is left of one that was cut short. Requests are bounded in time and asked again a few times.

use super::BackupError;
use super::place::innermost;
use crate::config::BucketSettings;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Location;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, Error, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// What a bucket's name begins with.
pub(super) const SCHEME: &str = "s3://";
/// Time to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one request and its answer, unless the environment says another one: a part of 10 MiB at 0.3 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A request that failed is asked again so often, and not after [`RETRY_TIMEOUT`].
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(2 * 60);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Of what a server or the system says, so many characters are told.
const CAUSE_CHARS_MAX: usize = 200;

/// Whether credentials were given, or the machine itself has to be asked for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Given,
    OfTheMachine,
}

/// The bucket `s3://BUCKET/PREFIX`: with the credentials and settings of the environment (`AWS_*`), and these settings before
/// those. Nothing is asked of the server yet.
pub(super) fn open(name: &str, settings: &BucketSettings) -> Result<(Arc<dyn ObjectStore>, Keys), BackupError> {
    let wrong = |cause: String| BackupError::BucketSettings { place: name.to_owned(), cause };
    let address = name.strip_prefix(SCHEME).unwrap_or(name);
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(is_named) {
        return Err(wrong(format!("\"{bucket}\" is no bucket's name")));
    }
    let prefix = Location::parse(prefix).map_err(|error| wrong(error.to_string()))?;
    let timeout = std::env::var_os("AWS_TIMEOUT").is_none().then(|| seconds(REQUEST_TIMEOUT));
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    for (key, value) in [
        (AmazonS3ConfigKey::S3Endpoint, settings.endpoint.clone()),
        (AmazonS3ConfigKey::Region, settings.region.clone()),
        (AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp), settings.allow_http.map(|allow| allow.to_string())),
        (AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), timeout),
        (AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), Some(seconds(CONNECT_TIMEOUT))),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    let said = |key| builder.get_config_value(&key);
    let endpoints = [said(AmazonS3ConfigKey::S3Endpoint), said(AmazonS3ConfigKey::Endpoint)];
    let allow_http = said(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    if endpoints.iter().flatten().next().is_some_and(|endpoint| endpoint.starts_with("http://"))
        && !allow_http.is_some_and(|allow| ["1", "true", "on", "yes", "y"].contains(&&*allow.to_ascii_lowercase()))
    {
        return Err(wrong(
            "its endpoint has no TLS: allow that by AWS_ALLOW_HTTP=true or allow_http = true".to_owned(),
        ));
    }
    let given = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    let keys = if given.into_iter().any(|key| said(key).is_some()) { Keys::Given } else { Keys::OfTheMachine };
    let backoff = BackoffConfig { init_backoff: BACKOFF_FIRST, max_backoff: BACKOFF_MAX, base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT };
    // The first one stays, whoever installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = builder.with_retry(retry).build().map_err(|error| wrong(innermost(&error)))?;
    Ok((Arc::new(PrefixStore::new(store, prefix)), keys))
}

fn seconds(time: Duration) -> String {
    format!("{} seconds", time.as_secs())
}

/// An error of the bucket, without what a server says about who asked.
pub(super) fn failed(place: &str, keys: Keys, error: &Error) -> BackupError {
    let (place, said) = (place.to_owned(), innermost(error));
    // What the server answered is XML: of that its code is told.
    let (text, answer) = said.split_once('<').unwrap_or((&said, ""));
    let code = answer.split_once("Code>").and_then(|(_, rest)| rest.split_once('<')).map(|(code, _)| code);
    let text = text.trim_end_matches([' ', ':']);
    let cause = code.map_or_else(|| text.to_owned(), |code| format!("{text}, {code}"));
    let cause = cause.chars().take(CAUSE_CHARS_MAX).collect();
    match error {
        _ if code.is_some() => BackupError::BucketRefused { place, cause },
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } | Error::NotFound { .. } => {
            BackupError::BucketRefused { place, cause }
        }
        _ if keys == Keys::OfTheMachine => BackupError::BucketKeys { place, cause },
        _ => BackupError::BucketUnreachable { place, cause },
    }
}
