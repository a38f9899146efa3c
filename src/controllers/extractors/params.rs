//! The parameters of a request: those of the query, and numbers in the path.

use std::{collections::HashMap, fmt};

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::errors::{Error, Result};

/// Returns the number that a text gives: digits of ASCII alone, without a sign. It is the one rule for numbers
/// in a query, a path and a header.
#[must_use]
pub fn parse_number(text: &str) -> Option<i64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The parameters of the query. A parameter that the endpoint reads may occur only once.
pub struct QueryParams(HashMap<String, Vec<String>>);

impl QueryParams {
    /// Returns a parameter. A parameter without a value counts as absent.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a parameter that is given more than once.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>> {
        Ok(self.single_value(name)?.filter(|text| !text.is_empty()))
    }

    /// Returns a whole number, `min` or more.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn number(&self, name: &'static str, min: i64) -> Result<Option<i64>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = parse_number(text).filter(|number| *number >= min);
        number.map(Some).ok_or_else(|| Error::Invalid {
            detail: format!("This must be a whole number, {min} or more."),
            field: Some(name.into()),
        })
    }

    /// Returns the number of results that a page may have: the parameter `limit`, and `max` at most.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything but a number above 0.
    pub fn page_limit(&self, default: u32, max: u32) -> Result<u32> {
        let limit = self.number("limit", 1)?;
        let limit = limit.map_or(default, |limit| u32::try_from(limit).unwrap_or(max));
        Ok(limit.min(max))
    }

    /// Returns whether a parameter is `true` or `1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything but that and `false` or `0`.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        // A parameter without a value is ambiguous.
        match self.single_value(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Error::Invalid {
                detail: "This must be true or false (or 1 or 0).".to_owned(),
                field: Some(name.into()),
            }),
        }
    }

    fn single_value(&self, name: &'static str) -> Result<Option<&str>> {
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(Error::Invalid {
                detail: "This parameter must not be repeated.".to_owned(),
                field: Some(name.into()),
            }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryParams {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = parts.extract::<Query<Vec<(String, String)>>>().await;
        let Query(pairs) = query.map_err(|_| Error::invalid("The query is malformed."))?;
        let mut params: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in pairs {
            params.entry(name).or_default().push(value);
        }
        Ok(Self(params))
    }
}

/// A number in a path, such as the `seq` of a message, by the same rule as in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathNumber(pub i64);

impl<'de> Deserialize<'de> for PathNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = PathNumber;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PathNumber, E> {
                let number = parse_number(text).ok_or_else(|| E::custom("not a whole number"))?;
                Ok(PathNumber(number))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}
