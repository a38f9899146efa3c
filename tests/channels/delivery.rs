//! All sockets receive all events, in one order.

use serde_json::json;

use crate::support::{TestApp, connected_nodes};

/// Three groups with many senders on two nodes at the same time. Each reader gets one gapless order.
#[tokio::test]
async fn all_sockets_of_a_group_receive_events_in_one_order() {
    const SENDERS: usize = 20;
    const MESSAGES_PER_SENDER: usize = 10;
    let (_redis, here, there) = connected_nodes().await;
    let ann = here.user("ann").await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(ann.start_chat().await);
    }
    let ann = &ann;
    let sending = groups.iter().flat_map(|group| {
        let nodes = [&here, &there];
        (0..SENDERS).map(move |sender| async move {
            let mut socket = ann.on_node(nodes[sender % 2]).open_live(group).await;
            for i in 0..MESSAGES_PER_SENDER {
                let cid = format!("{sender}/{i}");
                let send = json!({"type": "send", "cid": cid, "text": cid});
                let (ok, _) = socket.request_collecting(send).await;
                assert_eq!(ok["type"], "ok", "{ok}");
            }
        })
    });
    let reading = groups.iter().map(|group| {
        let nodes = [&here, &there];
        async move {
            let mut orders = Vec::new();
            for node in nodes {
                let mut socket = ann.on_node(node).open_rich(group, "after=0").await;
                socket.until_sync().await;
                orders.push(socket);
            }
            orders
        }
    });
    // The readers subscribe before the first message.
    let readers = futures_util::future::join_all(reading).await;
    let checking = readers.into_iter().map(|sockets| async {
        let mut orders = Vec::new();
        for mut socket in sockets {
            orders.push(socket.next_messages(SENDERS * MESSAGES_PER_SENDER).await);
            socket.expect_no_frames().await;
        }
        assert_eq!(orders[0], orders[1]);
        let seqs: Vec<_> = orders[0].iter().map(|(seq, _)| *seq).collect();
        assert_eq!(
            seqs,
            (1..=(SENDERS * MESSAGES_PER_SENDER) as i64).collect::<Vec<_>>()
        );
        for sender in 0..SENDERS {
            let own = orders[0]
                .iter()
                .filter_map(|(_, text)| text.strip_prefix(&format!("{sender}/")));
            let expected: Vec<_> = (0..MESSAGES_PER_SENDER).map(|i| i.to_string()).collect();
            assert_eq!(own.collect::<Vec<_>>(), expected);
        }
    });
    tokio::join!(
        futures_util::future::join_all(sending),
        futures_util::future::join_all(checking),
    );
}

/// A large room broadcasts in rounds. New events join a running round, so some sockets receive them in
/// one batch, and others in two. A deletion sometimes makes each socket's own task deliver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_room_receives_every_event_once_and_in_order() {
    const SOCKETS: usize = 300;
    const ROUNDS: usize = 12;
    const MESSAGES_PER_ROUND: usize = 30;
    let app = TestApp::start().await;
    let (group, [ann]) = app.group_of(["ann"]).await;
    let (mut rich, mut base) = (Vec::new(), Vec::new());
    for _ in 0..SOCKETS {
        rich.push(ann.open_live(&group).await);
    }
    for _ in 0..SOCKETS / 10 {
        base.push(ann.open_base(&group).await);
    }
    let mut sender = ann.open_live(&group).await;
    let sending = async {
        for _ in 0..ROUNDS {
            sender.send_many(MESSAGES_PER_ROUND).await;
            let (ok, _) = sender
                .request_collecting(json!({"type": "delete", "seq": 1}))
                .await;
            assert!(ok["type"] == "ok" || ok["code"] == "gone", "{ok}");
        }
    };
    // The first deletion is an event too.
    let all = (ROUNDS * MESSAGES_PER_ROUND + 1) as i64;
    let receiving = rich.into_iter().map(|mut socket| async move {
        for seq in 1..=all {
            assert_eq!(socket.next_event().await["seq"], seq);
        }
        socket.expect_no_frames().await;
    });
    let receiving_base = base.into_iter().map(|mut socket| async move {
        for _ in 0..ROUNDS * MESSAGES_PER_ROUND {
            assert_eq!(socket.next_message().await, "ann now is [clock]");
        }
        socket.expect_no_frames().await;
    });
    tokio::join!(
        sending,
        futures_util::future::join_all(receiving),
        futures_util::future::join_all(receiving_base),
    );
}
