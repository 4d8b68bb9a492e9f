//! Who is told of what, once, whatever process looks.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use cofre_arm::{Problem, Result as ApiResult};
use cofre_notify::{Channel, Kind, Notification, NotificationSettings, WebhookSettings};
use cofre_recovery::{
    restore::RecoveryType,
    settings::{ScheduleSettings, Settings, StorageSettings},
    storage_account::StorageAccount,
    worker::{Unobserved, Worker, WorkerOptions},
};
use cofre_store::Store;
use jiff::SignedDuration;

use crate::world::World;

const AFTER: SignedDuration = SignedDuration::from_hours(4);

/// A program that takes messages by HTTP, and answers as a test says.
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Notification>>>,
}

impl Receiver {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, got) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let (answer, taken) = (status.clone(), got.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(stream.read_line(&mut head).unwrap() > 0);
                }
                let head = head.to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut body).unwrap();
                let status = answer.load(Ordering::SeqCst);
                if status == 200 {
                    taken.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                }
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { port, status, got }
    }

    fn channels(&self) -> Vec<Box<dyn Channel>> {
        let url = format!("http://127.0.0.1:{}/", self.port);
        let webhook = WebhookSettings { name: "ops".into(), url, header: None, secret_file: None };
        NotificationSettings { webhooks: vec![webhook], ..NotificationSettings::default() }
            .channels()
            .unwrap()
    }

    fn got(&self) -> Vec<Notification> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

/// Settings with which there is room on every host.
fn roomy() -> Settings {
    let storage = StorageSettings { reserve_bytes: Some(0), alarm_bytes: Some(0) };
    Settings { storage, ..Settings::default() }
}

fn note(world: &World) -> ApiResult<usize> {
    world.recovery.note_notifications(&["ops"], AFTER)
}

#[test]
fn a_failed_backup_is_told_once_and_tried_until_it_is_taken() {
    let (world, vault) = World::ready_with(roomy());
    world.at("2026-03-01T00:00:00Z");
    let item = world.plain(&vault, "web");
    let image = world.folder.path().join("vm/web.raw");
    let kept = std::fs::read(&image).unwrap();
    std::fs::remove_file(&image).unwrap();
    world.backup(&item).result.unwrap_err();
    assert_eq!(note(&world).unwrap(), 0, "what was before the first look is not told");
    let failed = world.backup(&item).job;
    std::fs::write(&image, kept).unwrap();
    world.backup(&item).result.unwrap();

    let other = world.another(Store::open(&world.folder.path().join("cofre.db")).unwrap());
    assert_eq!(other.note_notifications(&["ops"], AFTER).unwrap(), 1);
    assert_eq!(note(&world).unwrap(), 0, "another process has noted it");
    let receiver = Receiver::new();
    let channels = receiver.channels();
    receiver.status.store(503, Ordering::SeqCst);
    let refused = world.recovery.deliver_notifications(&channels).unwrap();
    assert_eq!((refused.sent, refused.failures.len()), (0, 1));
    receiver.status.store(200, Ordering::SeqCst);
    let early = other.deliver_notifications(&channels).unwrap();
    assert_eq!((early.sent, early.failures.len()), (0, 0), "it waits before the next time");
    world.clock.forward(31);
    assert_eq!(other.deliver_notifications(&channels).unwrap().sent, 1);
    world.clock.forward(7200);
    assert_eq!(world.recovery.deliver_notifications(&channels).unwrap().sent, 0);
    let got = receiver.got();
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!((got[0].kind, got[0].job_id.as_ref()), (Kind::BackupFailed, Some(&failed.id)));
    assert_eq!(got[0].code.as_deref(), Some(failed.error_details[0].code.as_str()));
    assert_eq!(got[0].resource_id, Some(item.to_string()));
    assert!(got[0].summary.contains("web") && got[0].text.contains(&failed.error_details[0].message));
}

#[test]
fn what_nobody_takes_is_given_up_after_a_week() {
    let (world, vault) = World::ready_with(roomy());
    world.at("2026-03-01T00:00:00Z");
    let item = world.plain(&vault, "web");
    note(&world).unwrap();
    std::fs::remove_file(world.folder.path().join("vm/web.raw")).unwrap();
    world.backup(&item).result.unwrap_err();
    assert_eq!(note(&world).unwrap(), 1);
    let receiver = Receiver::new();
    let channels = receiver.channels();
    receiver.status.store(500, Ordering::SeqCst);
    let mut refusals = 0;
    for _ in 0..7 * 24 {
        refusals += world.recovery.deliver_notifications(&channels).unwrap().failures.len();
        world.clock.forward(3600);
    }
    assert_eq!(refusals, 7 * 24, "once an hour at the latest");
    world.clock.forward(3600);
    let last = world.recovery.deliver_notifications(&channels).unwrap();
    assert!(last.failures[0].in_full().contains("given up"), "{last:?}");
    assert!(world.store.list("/notification/outbox", None, 10).unwrap().is_empty());
    assert_eq!(receiver.got(), []);
}

#[test]
fn a_missed_backup_is_told_once_for_each_slot() {
    let schedule = ScheduleSettings { jitter_minutes: 0, ..ScheduleSettings::default() };
    let (world, vault) = World::ready_with(Settings { schedule, ..roomy() });
    world.at("2026-03-01T00:00:00Z");
    let item = world.plain(&vault, "web");
    let slot = world.recovery.next_run(&item).unwrap().unwrap();
    note(&world).unwrap();
    let receiver = Receiver::new();
    let options = WorkerOptions { name: "w".into(), slots: 1 };
    let worker = Worker::new(world.recovery.clone(), options).with_notifications(receiver.channels(), AFTER);
    let tick_at = |hours: i64| {
        world.at(&(slot + SignedDuration::from_hours(hours)).to_string());
        worker.tick(&Unobserved);
        worker.deliver(&Unobserved);
        receiver.got()
    };
    // the first tick that anybody makes is late: the backup is submitted, and was missed nevertheless
    let got = tick_at(5);
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!((got[0].kind, &got[0].resource_id), (Kind::BackupMissed, &Some(item.to_string())));
    assert!(got[0].summary.contains(&slot.to_string()), "{got:?}");
    assert_eq!(tick_at(6), [], "it waits for a worker still, and was told of");
    worker.run_one(&Unobserved, &cofre_repo::Cancel::new()).unwrap().unwrap();
    assert_eq!(tick_at(7), []);
    // the next day's in time: nothing to tell, until it is late too
    assert_eq!(tick_at(24), []);
    assert_eq!(tick_at(27), []);
    assert_eq!(tick_at(29).len(), 1);
}

#[test]
fn without_room_no_backup_begins_while_points_are_kept_in_order_and_restored() {
    let (world, vault) = World::ready_with(roomy());
    let item = world.plain(&vault, "web");
    world.backup(&item).result.unwrap();
    let full = StorageSettings { reserve_bytes: Some(u64::MAX), alarm_bytes: None };
    let full = world.set_otherwise(Settings { storage: full, ..Settings::default() });
    let (silent, cancel) = (cofre_repo::progress::Silent, cofre_repo::Cancel::new());
    let refused = full.backup(&item, None, &silent, &cancel).unwrap().result.unwrap_err();
    assert_eq!((refused.problem(), refused.problem().row().transient), (Problem::StorageFull, true));
    full.clean_up(&item, &silent, &cancel).unwrap();
    let account =
        StorageAccount { name: "default".into(), folder: world.folder.path().join("storage/default") };
    let kind = RecoveryType::RestoreDisks;
    full.restore_disks(&item, "latest", &account, kind, &silent, &cancel).unwrap().result.unwrap();

    assert_eq!(full.note_notifications(&["ops"], AFTER).unwrap(), 1, "it is low from the first look on");
    assert_eq!(full.note_notifications(&["ops"], AFTER).unwrap(), 0, "told once");
    assert!(full.metrics().unwrap().contains("\ncofre_storage_alarm 1\n"));
    let roomy = world.set_otherwise(roomy());
    assert!(roomy.metrics().unwrap().contains("\ncofre_storage_alarm 0\n"));
    roomy.note_notifications(&["ops"], AFTER).unwrap();
    roomy.backup(&item, None, &silent, &cancel).unwrap().result.unwrap();
    assert!(full.note_notifications(&["ops"], AFTER).unwrap() >= 1, "low again, told again");
}
