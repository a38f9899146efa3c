//! The address of the client. Only a trusted proxy can state another address.

use axum::http::{HeaderMap, HeaderValue};
use proptest::{collection::vec, prelude::*};
use reqwest::Method;
use salam::{controllers::extractors::ClientAddress, settings::NetworkSet};
use serde_json::json;

use crate::support::{TestApp, TestResponse};

fn networks(listed: &[&str]) -> NetworkSet {
    serde_json::from_value(json!(listed)).unwrap()
}

fn forwarded_headers<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> HeaderMap {
    let named = |line| {
        (
            "x-forwarded-for".parse().unwrap(),
            HeaderValue::from_bytes(line).unwrap(),
        )
    };
    lines.into_iter().map(named).collect()
}

/// Returns the client behind a peer, with 10.0.0.0/8, 127.0.0.1 and fd00::/8 as trusted proxies.
fn client_behind(peer: &str, lines: &[&str]) -> String {
    let trusted = networks(&["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);
    let headers = forwarded_headers(lines.iter().map(|line| line.as_bytes()));
    ClientAddress::resolve(peer.parse().unwrap(), &headers, &trusted)
        .ip()
        .to_string()
}

#[test]
fn the_rightmost_untrusted_address_is_the_client() {
    for (peer, lines, expected) in [
        // A peer that is not a trusted proxy cannot state another address.
        ("203.0.113.7", &[][..], "203.0.113.7"),
        ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
        ("127.0.0.2", &["198.51.100.1"], "127.0.0.2"),
        ("::1", &["198.51.100.1"], "::1"),
        ("2001:db8::1", &["198.51.100.1"], "2001:db8::1"),
        // A proxy without the header is the client itself.
        ("127.0.0.1", &[], "127.0.0.1"),
        ("127.0.0.1", &[""], "127.0.0.1"),
        ("127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ("10.255.0.1", &["198.51.100.1"], "198.51.100.1"),
        ("fd12::1", &["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        // The client itself wrote the addresses to the left of its own.
        ("127.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", &["10.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", &["<script>, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        // Proxies behind proxies.
        (
            "127.0.0.1",
            &["1.1.1.1, 198.51.100.1, 10.0.0.1"],
            "198.51.100.1",
        ),
        (
            "127.0.0.1",
            &["1.1.1.1, 198.51.100.1", "10.0.0.1,10.0.0.2"],
            "198.51.100.1",
        ),
        ("127.0.0.1", &["10.0.0.3, 10.0.0.2, 10.0.0.1"], "10.0.0.3"),
        // An unreadable entry ends the search: the last proxy counts as the client.
        ("127.0.0.1", &["198.51.100.1, unknown"], "127.0.0.1"),
        (
            "127.0.0.1",
            &["198.51.100.1, unknown, 10.0.0.1"],
            "10.0.0.1",
        ),
        ("127.0.0.1", &["198.51.100.1,"], "127.0.0.1"),
        ("127.0.0.1", &["198.51.100.1", ""], "127.0.0.1"),
        ("127.0.0.1", &["198.51.100.1, ,10.0.0.1"], "10.0.0.1"),
        ("127.0.0.1", &["198.51.100.256"], "127.0.0.1"),
        ("127.0.0.1", &["0x7f.1"], "127.0.0.1"),
        ("127.0.0.1", &["198.51.100.1 198.51.100.2"], "127.0.0.1"),
        // The formats of proxies.
        ("127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", &["[2001:db8::5]:4711"], "2001:db8::5"),
        ("127.0.0.1", &["[2001:db8::5]"], "2001:db8::5"),
        ("127.0.0.1", &["  2001:DB8::5\t"], "2001:db8::5"),
        ("127.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        (
            "127.0.0.1",
            &["198.51.100.1, ::ffff:10.0.0.1"],
            "198.51.100.1",
        ),
        ("127.0.0.1", &["[2001:db8::5"], "127.0.0.1"),
        ("127.0.0.1", &["fe80::1%eth0"], "127.0.0.1"),
    ] {
        assert_eq!(client_behind(peer, lines), expected, "{peer} {lines:?}");
    }
}

#[test]
fn trusted_networks_match_ipv4_and_ipv6() {
    for (listed, address, expected) in [
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("10.1.2.3/8", "10.200.0.1", true),
        ("0.0.0.0/0", "203.0.113.7", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::ffff:10.0.0.0/104", "10.1.1.1", true),
        ("::ffff:10.0.0.0/104", "11.1.1.1", false),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "::ffff:10.0.0.1", true),
    ] {
        let networks = networks(&[listed]);
        assert_eq!(
            networks.contains(address.parse().unwrap()),
            expected,
            "{listed} {address}"
        );
    }
}

#[test]
fn an_ipv6_address_counts_as_its_64_network() {
    for (address, network) in [
        ("203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ] {
        let client = ClientAddress::from(address.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(client.network().to_string(), network);
    }
}

/// Generates header lines of a client: all bytes that a header may contain.
fn header_line_strategy() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x20..=0x7eu8, 0x80..=0xffu8, Just(b'\t'), Just(b',')];
    let address = "(10\\.0\\.0\\.[0-9]|198\\.51\\.100\\.1|::1|fd00::[0-9])";
    prop_oneof![
        vec(byte, 0..40),
        vec(address, 0..5).prop_map(|hops| hops.join(", ").into_bytes()),
    ]
}

proptest! {
    #[test]
    fn forwarded_headers_of_clients_do_not_change_their_address(lines in vec(header_line_strategy(), 0..4)) {
        let trusted = networks(&["10.0.0.0/8", "fd00::/8"]);
        let addresses = forwarded_headers(lines.iter().map(Vec::as_slice));
        let stranger = "203.0.113.7".parse().unwrap();
        prop_assert_eq!(ClientAddress::resolve(stranger, &addresses, &trusted).ip(), stranger);
        // A proxy adds the address of its peer.
        let mut behind = addresses.clone();
        behind.append("x-forwarded-for", "203.0.113.7".parse().unwrap());
        let proxy = "10.0.0.1".parse().unwrap();
        prop_assert_eq!(ClientAddress::resolve(proxy, &behind, &trusted).ip(), stranger);
        // The client is a trusted proxy only if all addresses are proxies.
        let client = ClientAddress::resolve(proxy, &addresses, &trusted).ip();
        let named = lines.iter().any(|line| String::from_utf8_lossy(line).contains(&client.to_string()));
        prop_assert!(client == proxy || named || !trusted.contains(client));
    }
}

#[tokio::test]
async fn x_forwarded_proto_is_trusted_from_listed_proxies_only() {
    for (trusted, scheme) in [(json!(["127.0.0.1"]), "wss"), (json!([]), "ws")] {
        let app = TestApp::with_settings(json!({"door": {"trusted_proxies": trusted}})).await;
        let ann = app.user("ann").await;
        let request = app
            .request(Method::POST, "/api/start-chat/")
            .bearer_auth(&ann.access)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "evil.example");
        let url = TestResponse::from_request(request).await.json()["websocket_url"].to_string();
        let expected = format!("\"{scheme}://{}/ws/chat/", app.address);
        assert!(url.starts_with(&expected), "{url}");
    }
}
