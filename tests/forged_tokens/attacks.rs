//! The attempts of a forger, each with a name.

use std::{process::Command, sync::LazyLock, time::Instant};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD},
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use salam::{models::sessions::ActiveSession, settings::Settings, tokens::Tokens};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

pub type NamedTokens = Vec<(String, String)>;

/// A valid token in its parts, and the secret of the server.
pub struct TokenForge {
    token: String,
    pub claims: Value,
    key: EncodingKey,
}

impl TokenForge {
    pub fn from_token(app: &TestApp, token: &str) -> Self {
        let settings = Settings::from_context(&app.ctx).unwrap();
        Self {
            token: token.to_owned(),
            claims: serde_json::from_slice(&token_part(token, 1)).unwrap(),
            key: EncodingKey::from_secret(settings.tokens.secret.expose().as_bytes()),
        }
    }

    /// Signs claims like the server.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(&claims.to_string())
    }

    fn sign_text(&self, claims: &str) -> String {
        sign_token(
            r#"{"typ":"JWT","alg":"HS256"}"#,
            claims,
            &self.key,
            Algorithm::HS256,
        )
    }

    /// The valid claims under another header, with a valid signature.
    fn with_header(&self, header: &str) -> String {
        sign_token(
            header,
            &self.claims.to_string(),
            &self.key,
            Algorithm::HS256,
        )
    }

    /// The token with another value of a claim, with a valid signature.
    fn with_claim(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[claim] = value;
        self.sign(&claims)
    }

    fn without_claim(&self, claim: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        self.sign(&claims)
    }
}

fn token_part(token: &str, number: usize) -> Vec<u8> {
    let part = token.split('.').nth(number).unwrap();
    BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn sign_token(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let [header, claims] = [header, claims].map(|text| BASE64_URL_SAFE_NO_PAD.encode(text));
    let message = format!("{header}.{claims}");
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Returns all forged tokens. They are made from a valid token, a token of the same user of the other
/// type, and a token of the same type of another user.
pub fn forged_tokens(mint: &TokenForge, other_type: &str, other_user: &str) -> NamedTokens {
    let mut tokens = NamedTokens::new();
    forge_headers(mint, &mut tokens);
    forge_keys(mint, &mut tokens);
    forge_claims(mint, &mut tokens);
    forge_times(mint, &mut tokens);
    forge_signatures(mint, other_type, other_user, &mut tokens);
    forge_shapes(mint, other_user, &mut tokens);
    tokens.push(("other type".to_owned(), other_type.to_owned()));
    tokens
}

/// Tokens with other headers. A valid signature is made with the real key.
fn forge_headers(mint: &TokenForge, tokens: &mut NamedTokens) {
    let mut add = |name: String, token| tokens.push((name, token));
    let claims = BASE64_URL_SAFE_NO_PAD.encode(mint.claims.to_string());
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"typ": "JWT", "alg": none}).to_string();
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(&header);
        add(
            format!("alg {none:?}, unsigned"),
            format!("{unsigned}.{claims}."),
        );
        add(
            format!("alg {none:?}, of two parts"),
            format!("{unsigned}.{claims}"),
        );
        add(format!("alg {none:?}, signed"), mint.with_header(&header));
    }
    for alg in [
        "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "hs256",
        "HS256 ", "HMAC", "dir", "A128KW",
    ] {
        let header = json!({"typ": "JWT", "alg": alg}).to_string();
        add(format!("alg {alg:?} over HS256"), mint.with_header(&header));
    }
    for (alg, algorithm) in [("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
        let claims = mint.claims.to_string();
        let header = json!({"typ": "JWT", "alg": alg}).to_string();
        add(
            format!("{alg} by the right key"),
            sign_token(&header, &claims, &mint.key, algorithm),
        );
        let header = json!({"typ": "JWT", "alg": "HS256"}).to_string();
        add(
            format!("{alg} declared as HS256"),
            sign_token(&header, &claims, &mint.key, algorithm),
        );
    }
    for header in [
        json!({"typ": "JWT"}),
        json!({"typ": "JWT", "alg": null}),
        json!({"typ": "JWT", "alg": 256}),
        json!({"typ": "JWT", "alg": ["HS256"]}),
        json!({"typ": "JWT", "alg": {"name": "HS256"}}),
        json!({"typ": "JWE", "alg": "HS256"}),
        json!({"typ": "at+jwt", "alg": "HS256"}),
        json!({"alg": "HS256"}),
        json!({"typ": "JWT", "alg": "HS256", "cty": "JWT"}),
        json!({"typ": "JWT", "alg": "HS256", "crit": ["exp"]}),
        json!({"typ": "JWT", "alg": "HS256", "crit": []}),
        json!({"typ": "JWT", "alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"typ": "JWT", "alg": "HS256", "enc": "A128GCM"}),
        json!({"typ": "JWT", "alg": "HS256", "zip": "DEF"}),
        json!({"typ": "JWT", "alg": "HS256", "kid": "../../../../dev/null"}),
        json!({"typ": "JWT", "alg": "HS256", "kid": "x' UNION SELECT 'secret'--"}),
        json!({"typ": "JWT", "alg": "HS256", "jku": "https://attacker.example/keys"}),
        json!({"typ": "JWT", "alg": "HS256", "x5u": "https://attacker.example/chain"}),
        json!({"typ": "JWT", "alg": "HS256", "x5c": ["MIIB"]}),
        json!({"typ": "JWT", "alg": "HS256", "jwk": {"kty": "oct", "k": "c2VjcmV0"}}),
        json!({"typ": "JWT", "alg": "HS256", "nonce": "1"}),
        json!({"typ": "JWT", "alg": "HS256", "mine": "1"}),
        json!([]),
        json!("HS256"),
        json!(null),
    ] {
        add(
            format!("header {header}"),
            mint.with_header(&header.to_string()),
        );
    }
    for header in [
        r#"{"typ":"JWT","alg":"none","alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#,
        r#"{"typ":"JWE","typ":"JWT","alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":"HS256""#,
        r#"{"typ":"JWT","alg":"HS256"}x"#,
        "",
    ] {
        add(format!("header text {header:?}"), mint.with_header(header));
    }
}

/// Tokens that are signed with other keys.
fn forge_keys(mint: &TokenForge, tokens: &mut NamedTokens) {
    let mut add = |name: String, token| tokens.push((name, token));
    let claims = mint.claims.to_string();
    let sample = "development-only-secret-of-nobody-knows-whom";
    for secret in [
        "",
        "secret",
        "changeme",
        "your-256-bit-secret",
        "salam",
        "\0",
        sample,
    ] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        for header in [
            json!({"typ": "JWT", "alg": "HS256"}),
            json!({"typ": "JWT", "alg": "HS256", "kid": "/dev/null"}),
            json!({"typ": "JWT", "alg": "HS256", "jwk": {
                "kty": "oct", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode(secret)}}),
        ] {
            let token = sign_token(&header.to_string(), &claims, &key, Algorithm::HS256);
            add(format!("by the secret {secret:?} under {header}"), token);
        }
    }
    let rsa = generate_key("openssl genrsa 2048 | openssl rsa -traditional -outform DER");
    let rsa = EncodingKey::from_rsa_der(&rsa);
    let ec = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
              | openssl pkcs8 -topk8 -nocrypt -outform DER";
    let ec = EncodingKey::from_ec_der(&generate_key(ec));
    for (alg, key, algorithm) in [
        ("RS256", &rsa, Algorithm::RS256),
        ("PS512", &rsa, Algorithm::PS512),
        ("ES256", &ec, Algorithm::ES256),
    ] {
        let header = json!({"typ": "JWT", "alg": alg, "jku": "https://attacker.example/keys"});
        let token = sign_token(&header.to_string(), &claims, key, algorithm);
        add(format!("{alg} with a key of the forger"), token);
        let header = json!({"typ": "JWT", "alg": "HS256"});
        let token = sign_token(&header.to_string(), &claims, key, algorithm);
        add(
            format!("{alg} with a key of the forger, declared as HS256"),
            token,
        );
    }
}

fn generate_key(key: &str) -> Vec<u8> {
    let made = Command::new("sh").args(["-c", key]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

/// Tokens with a valid signature and claims that the server does not issue.
fn forge_claims(mint: &TokenForge, tokens: &mut NamedTokens) {
    let mut add = |name: String, token| tokens.push((name, token));
    let all = [
        "token_type",
        "exp",
        "iat",
        "jti",
        "sid",
        "user_id",
        "iss",
        "aud",
    ];
    for claim in all {
        add(format!("without {claim}"), mint.without_claim(claim));
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!(1.5),
            json!(""),
        ] {
            add(format!("{claim} is {value}"), mint.with_claim(claim, value));
        }
    }
    for (claim, value) in [
        ("token_type", json!("Access")),
        ("token_type", json!("Refresh")),
        ("token_type", json!("admin")),
        ("token_type", json!(["access", "refresh"])),
        ("iss", json!("evil")),
        ("iss", json!("Salam")),
        ("iss", json!("salam ")),
        ("iss", json!(["salam"])),
        ("iss", json!(["evil", "salam"])),
        ("aud", json!("evil")),
        ("aud", json!("SALAM")),
        ("aud", json!(["salam"])),
        ("aud", json!(["evil", "salam"])),
        ("user_id", json!(1)),
        ("user_id", json!("0")),
        ("user_id", json!("-1")),
        ("user_id", json!("4711")),
        ("user_id", json!(" 1")),
        ("user_id", json!("1 OR 1=1")),
        ("user_id", json!("99999999999999999999")),
        ("user_id", json!("１")),
        ("sid", json!("1")),
        ("sid", json!(Uuid::nil())),
        ("sid", json!(Uuid::new_v4())),
        ("jti", json!("x")),
    ] {
        add(
            format!("{claim} is {value}, signed"),
            mint.with_claim(claim, value),
        );
    }
    let text = mint.claims.to_string();
    for (claim, value) in [
        ("user_id", json!("2")),
        ("token_type", json!("refresh")),
        ("exp", json!(Utc::now().timestamp() + 60)),
        ("sid", json!(Uuid::nil())),
    ] {
        let first = text.replacen('{', &format!("{{\"{claim}\":{value},"), 1);
        add(
            format!("{claim} twice, the other first"),
            mint.sign_text(&first),
        );
        let last = format!("{},\"{claim}\":{value}}}", text.trim_end_matches('}'));
        add(
            format!("{claim} twice, the other last"),
            mint.sign_text(&last),
        );
    }
    for claims in ["", "null", "[]", "\"x\"", "1", "{}", "{", "\u{feff}{}"] {
        add(format!("claims {claims:?}"), mint.sign_text(claims));
    }
    add(
        "claims and more".to_owned(),
        mint.sign_text(&format!("{text}x")),
    );
    add(
        "claims twice".to_owned(),
        mint.sign_text(&format!("{text}{text}")),
    );
    add(
        "claims in a list".to_owned(),
        mint.sign_text(&format!("[{text}]")),
    );
}

fn forge_times(mint: &TokenForge, tokens: &mut NamedTokens) {
    let mut add = |name: &str, token| tokens.push((name.to_owned(), token));
    let now = Utc::now().timestamp();
    add(
        "expired an hour ago",
        mint.with_claim("exp", json!(now - 3600)),
    );
    add(
        "expired a second ago",
        mint.with_claim("exp", json!(now - 1)),
    );
    add("expired in 1970", mint.with_claim("exp", json!(0)));
    add("exp is negative", mint.with_claim("exp", json!(-1)));
    add(
        "exp is a text",
        mint.with_claim("exp", json!((now + 600).to_string())),
    );
    add("exp is a float", mint.with_claim("exp", json!(1e12)));
    add("exp is beyond all", mint.with_claim("exp", json!(1e300)));
    add(
        "exp is the largest number",
        mint.with_claim("exp", json!(i64::MAX)),
    );
    add(
        "exp is a larger number",
        mint.with_claim("exp", json!(u64::MAX)),
    );
    add(
        "exp is in milliseconds",
        mint.with_claim("exp", json!((now + 600) * 1000)),
    );
    add(
        "lives for ten years",
        mint.with_claim("exp", json!(now + 315_360_000)),
    );
    add(
        "iat is a text",
        mint.with_claim("iat", json!(now.to_string())),
    );
    add(
        "iat is the largest number",
        mint.with_claim("iat", json!(i64::MAX)),
    );
    add(
        "not before an hour from now",
        mint.with_claim("nbf", json!(now + 3600)),
    );
    add("nbf is a text", mint.with_claim("nbf", json!("later")));
}

fn forge_signatures(
    mint: &TokenForge,
    other_type: &str,
    other_user: &str,
    tokens: &mut NamedTokens,
) {
    let mut add = |name: &str, token| tokens.push((name.to_owned(), token));
    let (message, signature) = mint.token.rsplit_once('.').unwrap();
    let with = |signature: &str| format!("{message}.{signature}");
    let bytes = token_part(&mint.token, 2);
    let of = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    add("no signature", with(""));
    add("signature of another type", with(&of(other_type)));
    add("signature of another user", with(&of(other_user)));
    add(
        "signature cut short",
        with(&signature[..signature.len() - 1]),
    );
    add("signature of one byte", with("AA"));
    add(
        "signature of zeros",
        with(&BASE64_URL_SAFE_NO_PAD.encode([0; 32])),
    );
    add("signature twice", with(&format!("{signature}{signature}")));
    add(
        "signature in hex",
        with(&bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    );
    let mut flipped = bytes.clone();
    flipped[31] ^= 1;
    add(
        "signature with a bit flipped",
        with(&BASE64_URL_SAFE_NO_PAD.encode(&flipped)),
    );
    let more = [&bytes[..], &[0]].concat();
    add(
        "signature and a byte more",
        with(&BASE64_URL_SAFE_NO_PAD.encode(more)),
    );
    add("signature padded", with(&format!("{signature}=")));
    add(
        "signature of the other alphabet",
        with(&standard_base64(&bytes)),
    );
    add(
        "signature with a stray bit",
        with(&with_stray_bit(signature)),
    );
    let claims = of(other_user.rsplit_once('.').unwrap().0);
    let header = message.split_once('.').unwrap().0;
    add(
        "claims of another user",
        format!("{header}.{claims}.{signature}"),
    );
}

/// Encodes as padded, standard base64. A signature without `-` and `_` differs by its padding only.
fn standard_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Returns another text for the same bytes: 43 characters have two unused bits.
fn with_stray_bit(signature: &str) -> String {
    let lenient = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let lenient = GeneralPurpose::new(
        &URL_SAFE,
        lenient.with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
    );
    let same = URL_SAFE
        .as_str()
        .chars()
        .map(|last| format!("{}{last}", &signature[..signature.len() - 1]));
    let bytes = lenient.decode(signature).unwrap();
    let mut same =
        same.filter(|text| lenient.decode(text).as_ref() == Ok(&bytes) && text != signature);
    same.next().unwrap()
}

fn forge_shapes(mint: &TokenForge, other_user: &str, tokens: &mut NamedTokens) {
    let good = &mint.token;
    let [header, claims, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let unpadded = GeneralPurpose::new(&STANDARD, NO_PAD);
    let standard = |number| unpadded.encode([token_part(good, number), b"???".to_vec()].concat());
    let json = json!({"protected": header, "payload": claims, "signature": signature});
    let shapes: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("a dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("three dots", "...".to_owned()),
        ("a word", "token".to_owned()),
        ("null", "null".to_owned()),
        ("undefined", "undefined".to_owned()),
        ("the header alone", header.to_owned()),
        ("without its header", format!("{claims}.{signature}")),
        ("without its claims", format!("{header}..{signature}")),
        ("with a dot at its end", format!("{good}.")),
        ("with a dot before it", format!(".{good}")),
        ("of four parts", format!("{good}.x")),
        ("of five parts, as a JWE", format!("{good}.x.y")),
        ("with a byte more", format!("{good}A")),
        ("with four bytes more", format!("{good}AAAA")),
        ("with a byte before", format!("A{good}")),
        ("twice", format!("{good}{good}")),
        ("twice, with a dot", format!("{good}.{good}")),
        ("and another's", format!("{good},{other_user}")),
        ("in quotes", format!("\"{good}\"")),
        ("as JSON", json.to_string()),
        ("with its scheme", format!("Bearer {good}")),
        ("with dots in percent", good.replace('.', "%2E")),
        ("in upper case", good.to_uppercase()),
        ("in lower case", good.to_lowercase()),
        ("backwards", good.chars().rev().collect()),
        ("with a NUL at its end", format!("{good}\0")),
        ("with a NUL inside", good.replacen('.', "\0.", 1)),
        ("with a line break at its end", format!("{good}\n")),
        ("with a line break inside", good.replacen('.', "\r\n.", 1)),
        ("with a space inside", good.replacen('.', " .", 1)),
        ("with a mark before", format!("\u{feff}{good}")),
        ("with full-width dots", good.replace('.', "．")),
        ("claims padded", format!("{header}.{claims}=.{signature}")),
        (
            "claims in the other alphabet",
            format!("{header}.{}.{signature}", standard(1)),
        ),
        (
            "claims with a line break",
            format!("{header}.{}\n.{signature}", &claims[1..]),
        ),
        ("very long", "x".repeat(8_000)),
        (
            "very long claims",
            format!("{header}.{}.{signature}", claims.repeat(20)),
        ),
        ("thousands of dots", ".".repeat(8_000)),
    ];
    tokens.extend(
        shapes
            .into_iter()
            .map(|(name, token)| (name.to_owned(), token)),
    );
    for (name, token) in [
        ("with a space at its end", format!("{good} ")),
        ("with a space before", format!(" {good}")),
        ("with a tab at its end", format!("{good}\t")),
    ] {
        tokens.push((name.to_owned(), token));
    }
}

/// Returns the issuer and verifier of tokens without an app, and a valid token.
pub fn tokens_without_app() -> (&'static Tokens, String) {
    static TOKENS_AND_SAMPLE: LazyLock<(Tokens, String)> = LazyLock::new(|| {
        let settings = json!({
            "secret": "a secret of thirty-two bytes, or more", "issuer": "salam",
            "audience": "salam", "access_lifetime": 900, "refresh_lifetime": 1_209_600, "leeway": 0,
            "socket_lifetime": 0,
        });
        let tokens = Tokens::new(&serde_json::from_value(settings).unwrap());
        let session = ActiveSession {
            id: Uuid::new_v4(),
            user_id: 1,
            generation: 0,
            ends_at: Instant::now(),
            token_valid_until: None,
        };
        let good = tokens.issue_access(&session).unwrap();
        (tokens, good)
    });
    (&TOKENS_AND_SAMPLE.0, TOKENS_AND_SAMPLE.1.clone())
}
