//! The claims of a token.

use jsonwebtoken::{dangerous::insecure_decode, decode_header};
use salam::tokens::{TokenError, TokenType};
use serde_json::Value;

use crate::support::TestApp;

#[tokio::test]
async fn tokens_have_the_documented_claims() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (token, token_type, lifetime) in [
        (&ann.access, "access", 900),
        (&ann.refresh, "refresh", 1_209_600),
    ] {
        assert_eq!(format!("{:?}", decode_header(token).unwrap().alg), "HS256");
        let claims = insecure_decode::<Value>(token).unwrap().claims;
        let keys: Vec<_> = claims
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = "aud exp iat iss jti sid token_type user_id";
        assert_eq!(keys.join(" "), expected);
        assert_eq!(claims["token_type"], token_type);
        assert_eq!(claims["user_id"], "1");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            lifetime
        );
    }
}

#[tokio::test]
async fn access_and_refresh_tokens_are_not_interchangeable() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let tokens = app.ctx.shared_store.get::<salam::tokens::Tokens>().unwrap();
    for (token_type, token, expected) in [
        (TokenType::Access, &ann.access, true),
        (TokenType::Refresh, &ann.refresh, true),
        (TokenType::Access, &ann.refresh, false),
        (TokenType::Refresh, &ann.access, false),
    ] {
        let verified = tokens.verify(token_type, token);
        assert_eq!(
            verified.map(|claimed| claimed.user_id),
            if expected {
                Ok(1)
            } else {
                Err(TokenError::Invalid)
            }
        );
    }
}
