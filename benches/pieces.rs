//! The pieces that a message goes through, each by itself: parsed, stored, encoded, put in order,
//! decoded by another node, delivered.
//!
//! `cargo bench -p salam-benches --bench pieces`. The rule: each goes in by the door by which the
//! server itself does, with frames as clients send them. What a piece costs here is no more than its
//! part of what `side-by-side` measures from outside.

use std::{env::set_current_dir, hint::black_box, sync::Arc, time::Duration};

use axum::body::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use loco_rs::{app::Hooks, boot::StartMode, environment::Environment};
use migration::{Migrator, MigratorTrait};
use salam::{
    app::App,
    channels::{
        protocol::{base::BasicRequest, event::EncodedEvent, request::Request},
        sequencer::Sequencer,
    },
    models::{
        events::{Actor, Event, kind},
        group_commands::GroupCommand,
    },
    server,
    settings::Settings,
};
use salam_benches::{
    Result, event_log,
    load::{LoadGenerator, SocketSpec, protocol::SocketProtocol},
    node::{Installation, project_root},
    users::UsersAndGroups,
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

/// 100 bytes.
const MESSAGE_TEXT: &str = "it is time for another pot of tea, and whoever comes last to the kitchen has to wash \
                    all of the cups";

const GROUP: &str = "chat_a1b2c3d4";

/// Changes in one transaction; the writer takes no more than the last.
const BATCHES: [usize; 3] = [1, 64, 256];

/// Events that may wait for one that is missing, see [`Order`].
const MAX_AHEAD: i64 = 256;

const SOCKETS: usize = 100;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    // Where the configuration is.
    set_current_dir(project_root())?;
    let mut criterion = Criterion::default().configure_from_args();
    bench_encoding(&mut criterion)?;
    bench_parsing(&mut criterion);
    bench_sequencer(&mut criterion);
    bench_batches(&mut criterion)?;
    bench_delivery(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// A message's event, as it is told to sockets and to other nodes, and as another node takes it.
fn bench_encoding(criterion: &mut Criterion) -> Result<()> {
    let event = Event {
        seq: 123_456,
        at: chrono::DateTime::UNIX_EPOCH.into(),
        by: Some("ann".into()),
        kind: kind::MESSAGE_CREATED.into(),
        cid: Some("8d5f0e5cb7a94a0f9a3c1f6f0d1e2c3b".to_owned()),
        data: serde_json::json!({"text": MESSAGE_TEXT}).to_string(),
    };
    criterion.bench_function("encode", |bencher| {
        bencher.iter(|| EncodedEvent::encode(black_box(GROUP), black_box(&event)));
    });
    let told = EncodedEvent::encode(GROUP, &event);
    let payload = Bytes::copy_from_slice(told.frame().as_bytes());
    if EncodedEvent::decode_batch(&payload).is_none() {
        return Err("an event is not taken by another node".into());
    }
    criterion.bench_function("decode", |bencher| {
        bencher.iter(|| EncodedEvent::decode_batch(black_box(&payload)));
    });
    Ok(())
}

fn bench_parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let send = format!(
        r#"{{"type":"send","id":7,"group":"{GROUP}","cid":"8d5f0e5cb7a94a0f","text":"{MESSAGE_TEXT}"}}"#
    );
    group.bench_function("rich send", |bencher| {
        bencher.iter(|| Request::parse(black_box(&send)));
    });
    let post = format!(r#"{{"message":"{MESSAGE_TEXT}"}}"#);
    group.bench_function("base post", |bencher| {
        bencher.iter(|| BasicRequest::parse(black_box(&post)));
    });
    group.bench_function("base {}", |bencher| {
        bencher.iter(|| BasicRequest::parse(black_box("{}")));
    });
    group.finish();
}

/// As many events as may wait: each in its turn, and the first one last.
fn bench_sequencer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("order");
    group.throughput(Throughput::Elements(MAX_AHEAD.unsigned_abs()));
    let mut order = Sequencer::starting_after(0);
    group.bench_function("in turn", |bencher| {
        bencher.iter(|| {
            let last = order.last_seq();
            for seq in last + 1..=last + MAX_AHEAD {
                black_box(order.receive(seq, seq));
            }
        });
    });
    let mut order = Sequencer::starting_after(0);
    group.bench_function("backwards", |bencher| {
        bencher.iter(|| {
            let last = order.last_seq();
            for seq in (last + 1..=last + MAX_AHEAD).rev() {
                black_box(order.receive(seq, seq));
            }
        });
    });
    group.finish();
}

/// Changes of one group in one transaction, until they are on the disk.
fn bench_batches(criterion: &mut Criterion) -> Result<()> {
    let runtime = Runtime::new()?;
    let place = Installation::sqlite()?;
    let (db, author, group_id) = runtime.block_on(open_database(&place))?;
    let changes = |count| {
        let change = || event_log::message_command(group_id, &author, MESSAGE_TEXT);
        std::iter::repeat_with(change).take(count).collect()
    };
    let mut group = criterion.benchmark_group("batch");
    group.sample_size(30);
    for count in BATCHES {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let make = |batch| runtime.block_on(GroupCommand::apply_all(&db, batch));
            bencher.iter_batched(|| changes(count), make, BatchSize::PerIteration);
        });
    }
    group.finish();
    Ok(())
}

/// A database as the server has it: what is committed is on the disk.
async fn open_database(place: &Installation) -> Result<(DatabaseConnection, Actor, i64)> {
    let mut options = ConnectOptions::new(&place.database_url);
    options.sqlx_logging(false);
    let db = Database::connect(options).await?;
    db.execute_unprepared("PRAGMA journal_mode = WAL").await?;
    Migrator::up(&db, None).await?;
    let (author, groups) = event_log::create_user_and_groups(&db, 1).await?;
    let group = groups.first().ok_or("no group was started")?;
    Ok((db, author, group.id))
}

/// One send to a server in this process, on a thread of its own, until all of its sockets have read
/// the event.
fn bench_delivery(criterion: &mut Criterion) -> Result<()> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(1).enable_all().build()?;
    let place = Installation::sqlite()?;
    let port = runtime.block_on(serve(&runtime, &place))?;
    let mut load = open_sockets(port)?;
    let mut group = criterion.benchmark_group("delivery");
    group.sample_size(50);
    group.throughput(Throughput::Elements(SOCKETS as u64));
    let mut failed = Ok(());
    group.bench_function(BenchmarkId::new("sockets", SOCKETS), |bencher| {
        bencher.iter(|| {
            if failed.is_ok() {
                failed = send_and_wait(&mut load);
            }
        });
    });
    group.finish();
    drop(load);
    runtime.shutdown_background();
    failed
}

async fn serve(runtime: &Runtime, place: &Installation) -> Result<u16> {
    let environment = Environment::Test;
    let mut config = App::load_config(&environment).await?;
    config.database.uri.clone_from(&place.database_url);
    config.database.dangerously_truncate = false;
    let app = App::boot(StartMode::ServerOnly, &environment, config).await?;
    let router = app.router.ok_or("nothing to serve")?;
    let settings: Arc<Settings> = Settings::from_context(&app.app_context)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let never = CancellationToken::new();
    runtime.spawn(async move { server::serve(listener, router, &settings.door, never).await });
    Ok(port)
}

/// Rich sockets of one group, all of which have been told all there is.
fn open_sockets(port: u16) -> Result<LoadGenerator> {
    let town = UsersAndGroups::create(port, 1, 1)?;
    let name = town.group(0);
    let mut load = LoadGenerator::new()?;
    for _ in 0..SOCKETS {
        load.open(SocketSpec {
            port,
            path: format!("/ws/chat/{name}/"),
            protocol: SocketProtocol::Rich(name.to_owned()),
            headers: format!(
                "Sec-WebSocket-Protocol: chat.v1.json\r\nAuthorization: Bearer {}\r\n",
                town.access(0)
            ),
            group: 0,
            after: None,
            is_measured: true,
        })?;
    }
    load.run_until("sockets", DELIVERY_TIMEOUT, |load| {
        load.stats.ready_sockets == SOCKETS
    })?;
    Ok(load)
}

fn send_and_wait(load: &mut LoadGenerator) -> Result<()> {
    let due = load.stats.deliveries + SOCKETS as u64;
    load.send(0, load.now())?;
    load.run_until("a delivery", DELIVERY_TIMEOUT, |load| {
        load.stats.deliveries >= due
    })
}
