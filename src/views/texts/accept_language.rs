//! The languages of an `Accept-Language`.
//!
//! `fluent_langneg::accepted_languages` ignores the weights, and treats a language with the weight 0 as accepted.

use unic_langid::LanguageIdentifier;

/// Returns the accepted languages by their weights, the largest first (RFC 9110, section 12.5.4). A member
/// that cannot be parsed is skipped: the header is a preference, and not a reason to reject a request.
pub(super) fn parse_accept_language(header: &str) -> Vec<LanguageIdentifier> {
    let mut wanted: Vec<_> = header.split(',').filter_map(parse_preference).collect();
    // The sort is stable: languages with the same weight stay in their order.
    wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    wanted.into_iter().map(|(_, language)| language).collect()
}

/// Returns a language with its weight. The weight 0 means that the language is not accepted.
fn parse_preference(text: &str) -> Option<(f32, LanguageIdentifier)> {
    let (tag, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
    let language = tag.trim().parse().ok()?;
    (weight > 0.0).then_some((weight, language))
}
