//! Measures the steps of a message one by one: parsing, storing, encoding, ordering, decoding on
//! another node, and delivery.
//!
//! Run `cargo bench -p salam-benches --bench pieces`. The rule: each step uses the same function as
//! the server, with frames as clients send them. The cost of a step is only its part of the cost
//! that `side-by-side` measures from outside.

use std::{env::set_current_dir, hint::black_box, sync::Arc, time::Duration};

use axum::body::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use loco_rs::{app::Hooks, boot::StartMode, environment::Environment};
use migration::{Migrator, MigratorTrait};
use salam::{
    app::App,
    channels::{
        delivery::Sequencer,
        protocol::{base::BaseRequest, event::EncodedEvent, request::Request},
    },
    models::{
        event_data::{EventBody, EventData, MessageCreated},
        events::{Actor, Event},
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

/// A text of 100 bytes.
const MESSAGE_TEXT: &str = "it is time for another pot of tea, and whoever comes last to the kitchen has to wash \
                    all of the cups";

const GROUP: &str = "chat_a1b2c3d4";

/// The numbers of commands in one transaction. The largest is the writer's limit.
const BATCHES: [usize; 3] = [1, 64, 256];

/// The number of events that may wait for a missing event, see [`Sequencer`].
const MAX_AHEAD: i64 = 256;

const SOCKETS: usize = 100;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    // The configuration is in this folder.
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

/// Measures the encoding of a message's event, and the decoding by another node.
fn bench_encoding(criterion: &mut Criterion) -> Result<()> {
    let event = Event {
        seq: 123_456,
        at: chrono::DateTime::UNIX_EPOCH.into(),
        by: Some("ann".into()),
        cid: Some("8d5f0e5cb7a94a0f9a3c1f6f0d1e2c3b".to_owned()),
        body: EventBody::new(EventData::MessageCreated(MessageCreated {
            text: Some(MESSAGE_TEXT.to_owned()),
            ..MessageCreated::default()
        })),
    };
    criterion.bench_function("encode", |bencher| {
        bencher.iter(|| EncodedEvent::encode(black_box(GROUP), black_box(&event)));
    });
    let encoded = EncodedEvent::encode(GROUP, &event);
    let payload = Bytes::copy_from_slice(encoded.frame().as_bytes());
    if EncodedEvent::decode_batch(&payload).is_none() {
        return Err("another node cannot decode the event".into());
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
        bencher.iter(|| BaseRequest::parse(black_box(&post)));
    });
    group.bench_function("base {}", |bencher| {
        bencher.iter(|| BaseRequest::parse(black_box("{}")));
    });
    group.finish();
}

/// Receives as many events as may wait, first in order, then with the first event last.
fn bench_sequencer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("order");
    group.throughput(Throughput::Elements(MAX_AHEAD.unsigned_abs()));
    let mut sequencer = Sequencer::starting_after(0);
    group.bench_function("in turn", |bencher| {
        bencher.iter(|| {
            let last = sequencer.last_seq();
            for seq in last + 1..=last + MAX_AHEAD {
                black_box(sequencer.receive(seq, seq));
            }
        });
    });
    let mut sequencer = Sequencer::starting_after(0);
    group.bench_function("backwards", |bencher| {
        bencher.iter(|| {
            let last = sequencer.last_seq();
            for seq in (last + 1..=last + MAX_AHEAD).rev() {
                black_box(sequencer.receive(seq, seq));
            }
        });
    });
    group.finish();
}

/// Applies commands of one group in one transaction, until they are on disk.
fn bench_batches(criterion: &mut Criterion) -> Result<()> {
    let runtime = Runtime::new()?;
    let installation = Installation::sqlite()?;
    let (db, author, group_id) = runtime.block_on(open_database(&installation))?;
    let commands = |count| {
        let command = || event_log::message_command(group_id, &author, MESSAGE_TEXT);
        std::iter::repeat_with(command).take(count).collect()
    };
    let mut group = criterion.benchmark_group("batch");
    group.sample_size(30);
    for count in BATCHES {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let apply = |batch| runtime.block_on(GroupCommand::apply_all(&db, batch));
            bencher.iter_batched(|| commands(count), apply, BatchSize::PerIteration);
        });
    }
    group.finish();
    Ok(())
}

/// Opens a database as the server does: a commit is on disk.
async fn open_database(installation: &Installation) -> Result<(DatabaseConnection, Actor, i64)> {
    let mut options = ConnectOptions::new(&installation.database_url);
    options.sqlx_logging(false);
    let db = Database::connect(options).await?;
    db.execute_unprepared("PRAGMA journal_mode = WAL").await?;
    Migrator::up(&db, None).await?;
    let (author, groups) = event_log::create_user_and_groups(&db, 1).await?;
    let group = groups.first().ok_or("no group was created")?;
    Ok((db, author, group.id))
}

/// Measures one send until all sockets have read the event.
///
/// The server runs in this process, on a thread of its own.
fn bench_delivery(criterion: &mut Criterion) -> Result<()> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(1).enable_all().build()?;
    let installation = Installation::sqlite()?;
    let port = runtime.block_on(serve(&runtime, &installation))?;
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

async fn serve(runtime: &Runtime, installation: &Installation) -> Result<u16> {
    let environment = Environment::Test;
    let mut config = App::load_config(&environment).await?;
    config.database.uri.clone_from(&installation.database_url);
    config.database.dangerously_truncate = false;
    let app = App::boot(StartMode::ServerOnly, &environment, config).await?;
    let router = app.router.ok_or("the app has no routes")?;
    let settings: Arc<Settings> = Settings::from_context(&app.app_context)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let stop = CancellationToken::new();
    runtime.spawn(async move { server::serve(listener, router, &settings.door, stop).await });
    Ok(port)
}

/// Opens rich sockets of one group, and waits until all have caught up.
fn open_sockets(port: u16) -> Result<LoadGenerator> {
    let dataset = UsersAndGroups::create(port, 1, 1)?;
    let name = dataset.group(0);
    let mut load = LoadGenerator::new()?;
    for _ in 0..SOCKETS {
        load.open(SocketSpec {
            port,
            path: format!("/ws/chat/{name}/"),
            protocol: SocketProtocol::Rich(name.to_owned()),
            headers: format!(
                "Sec-WebSocket-Protocol: chat.v1.json\r\nAuthorization: Bearer {}\r\n",
                dataset.access(0)
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
    let expected = load.stats.deliveries + SOCKETS as u64;
    load.send(0, load.now())?;
    load.run_until("a delivery", DELIVERY_TIMEOUT, |load| {
        load.stats.deliveries >= expected
    })
}
