//! What is in a token.

use jsonwebtoken::{dangerous::insecure_decode, decode_header};
use salam::tokens::{Invalid, TokenType};
use serde_json::Value;

use crate::support::TestApp;

#[tokio::test]
async fn tokens_carry_the_claims_that_clients_know() {
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
        let mut expected = ["aud", "exp", "iat", "iss", "jti", "token_type", "user_id"];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(claims["token_type"], token_type);
        assert_eq!(claims["user_id"], "1");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            lifetime
        );
    }
}

#[tokio::test]
async fn a_token_of_one_type_is_never_taken_for_the_other() {
    let app = TestApp::start().await;
    let tokens = app.ctx.shared_store.get::<salam::tokens::Tokens>().unwrap();
    let access = tokens.issue(TokenType::Access, 7).unwrap();
    let refresh = tokens.issue(TokenType::Refresh, 7).unwrap();
    assert_eq!(tokens.verify(TokenType::Access, &access), Ok(7));
    assert_eq!(tokens.verify(TokenType::Refresh, &refresh), Ok(7));
    assert_eq!(tokens.verify(TokenType::Access, &refresh), Err(Invalid));
    assert_eq!(tokens.verify(TokenType::Refresh, &access), Err(Invalid));
}
