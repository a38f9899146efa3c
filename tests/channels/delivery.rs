//! What is said reaches all, in one order.

use serde_json::json;

use super::nodes::connected_nodes;
use crate::support::{RedisServer, TestApp};

/// Three groups, many senders on two nodes, all at once: one gapless order for every reader.
#[tokio::test]
async fn all_readers_of_a_group_see_one_order() {
    const SENDERS: usize = 20;
    const EACH: usize = 10;
    let redis = RedisServer::start().await;
    let (here, there) = connected_nodes(&redis).await;
    let ann = here.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(ann.start_chat().await);
    }
    let ann = &ann;
    let talking = groups.iter().flat_map(|group| {
        let nodes = [&here, &there];
        (0..SENDERS).map(move |sender| async move {
            let mut socket = ann.at(nodes[sender % 2]).live(group).await;
            for i in 0..EACH {
                let cid = format!("{sender}/{i}");
                let send = json!({"type": "send", "cid": cid, "text": cid});
                let (ok, _) = socket.reply_to(send).await;
                assert_eq!(ok["type"], "ok", "{ok}");
            }
        })
    });
    let reading = groups.iter().map(|group| {
        let nodes = [&here, &there];
        async move {
            let mut orders = Vec::new();
            for node in nodes {
                let mut socket = ann.at(node).rich(group, "after=0").await;
                socket.until_sync().await;
                orders.push(socket);
            }
            orders
        }
    });
    // The readers are there before the first word.
    let readers = futures_util::future::join_all(reading).await;
    let told = readers.into_iter().map(|sockets| async {
        let mut orders = Vec::new();
        for mut socket in sockets {
            orders.push(socket.messages(SENDERS * EACH).await);
            socket.expect_silence().await;
        }
        assert_eq!(orders[0], orders[1]);
        let seqs: Vec<_> = orders[0].iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=(SENDERS * EACH) as i64).collect::<Vec<_>>());
        for sender in 0..SENDERS {
            let own = orders[0]
                .iter()
                .filter_map(|(_, text)| text.strip_prefix(&format!("{sender}/")));
            let expected: Vec<_> = (0..EACH).map(|i| i.to_string()).collect();
            assert_eq!(own.collect::<Vec<_>>(), expected);
        }
    });
    tokio::join!(
        futures_util::future::join_all(talking),
        futures_util::future::join_all(told),
    );
}

/// A large room is told in rounds, and what comes meanwhile with them: to some in one piece, to others
/// in two. Now and then something comes that each has to be told by its own task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_hears_a_flood_once_and_in_order() {
    const CROWD: usize = 300;
    const FLOODS: usize = 12;
    const SAID: usize = 30;
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    let (mut rich, mut base) = (Vec::new(), Vec::new());
    for _ in 0..CROWD {
        rich.push(ann.live(&group).await);
    }
    for _ in 0..CROWD / 10 {
        base.push(ann.open(&group).await);
    }
    let mut speaker = ann.live(&group).await;
    let speaking = async {
        for _ in 0..FLOODS {
            speaker.floods(SAID).await;
            let (ok, _) = speaker.reply_to(json!({"type": "delete", "seq": 1})).await;
            assert!(ok["type"] == "ok" || ok["code"] == "gone", "{ok}");
        }
    };
    // The first deletion is an event, too.
    let all = (FLOODS * SAID + 1) as i64;
    let hearing = rich.into_iter().map(|mut socket| async move {
        for seq in 1..=all {
            assert_eq!(socket.event().await["seq"], seq);
        }
        socket.expect_silence().await;
    });
    let answered = base.into_iter().map(|mut socket| async move {
        for _ in 0..FLOODS * SAID {
            assert_eq!(socket.message().await, "ann now is [clock]");
        }
        socket.expect_silence().await;
    });
    tokio::join!(
        speaking,
        futures_util::future::join_all(hearing),
        futures_util::future::join_all(answered),
    );
}
