//! What the query of a request asks for.

use std::{collections::HashMap, ops::RangeInclusive};

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use crate::errors::{Error, Result};

/// The parameters of the query; of several of one name the last counts.
pub struct Params(HashMap<String, String>);

impl Params {
    /// A parameter; one without a value is as good as none.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn number(&self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| Error::Invalid {
            detail: format!("A whole number, {} or more.", range.start()),
            field: Some(name.into()),
        })
    }

    /// How many results are wanted; more than `max` are not given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no number above 0.
    pub fn limit(&self, default: u32, max: u32) -> Result<u32> {
        let asked = self.number("limit", 1..=i64::MAX)?;
        let limit = asked.map_or(default, |asked| u32::try_from(asked).unwrap_or(max));
        Ok(limit.min(max))
    }

    /// Whether something is asked for by `true` or `1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is neither that nor `false` or `0`.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        // An empty one may be meant as either.
        match self.0.get(name).map(String::as_str) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Error::Invalid {
                detail: "Either true or false (or 1 or 0).".to_owned(),
                field: Some(name.into()),
            }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = parts.extract::<Query<Vec<(String, String)>>>().await;
        let Query(pairs) = query.map_err(|_| Error::invalid("The query is malformed."))?;
        Ok(Self(pairs.into_iter().collect()))
    }
}
