//! The store as a node sees it: every call is a request through the simulated network.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Page, Query, Renewal, Renewed,
    Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{StoreError, StoreErrorKind, Task, TaskId};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::broken::Broken;
use super::clock::signed;
use super::network::{Connection, Delivery};
use super::server::{Request, Server, immediate};

/// A node's end of its connection.
#[derive(Debug)]
pub(crate) struct StoreProxy {
    connection: Arc<Connection>,
    server: Arc<Server>,
}

impl StoreProxy {
    pub(crate) fn new(connection: Arc<Connection>, server: Arc<Server>) -> Self {
        server.connect(&connection);
        Self { connection, server }
    }

    /// Sends a request. The request stays under way if the caller is dropped.
    fn send<T: Send + 'static>(
        &self,
        method: &'static str,
        delivery: Delivery,
        execute: impl Fn(&Server, Request) -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let (reply_sender, reply) = oneshot::channel();
        let network = &self.connection.network;
        let request = Request {
            node: self.connection.node,
            sent_at: network.time.now(),
            number: self.server.next_request(),
            max_written: delivery.max_written,
        };
        let deadline = Instant::now() + Duration::from_millis(network.plan.deadline + network.plan.starved);
        let message = Message {
            connection: self.connection.clone(),
            method,
            request,
            delivery,
        };
        tokio::spawn(message.deliver(self.server.clone(), execute, reply_sender));
        Box::pin(async move {
            if let Ok(Ok(reply)) = timeout_at(deadline, reply).await {
                return reply;
            }
            sleep_until(deadline).await;
            Err(unavailable())
        })
    }

    /// Sends a read, which is subject to the same faults as a write.
    fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn Store) -> BoxFuture<'_, T> + Send + 'static,
    ) -> BoxFuture<'static, T> {
        self.send("read", self.connection.delivery(0), move |server, _| {
            immediate(read(&*server.store))
        })
    }

    fn is(&self, broken: Broken) -> bool {
        self.connection.network.broken == Some(broken)
    }
}

/// A request on its way to the store, and its reply on the way back.
struct Message {
    connection: Arc<Connection>,
    method: &'static str,
    request: Request,
    delivery: Delivery,
}

impl Message {
    async fn deliver<T>(
        self,
        server: Arc<Server>,
        execute: impl Fn(&Server, Request) -> T,
        reply_sender: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let Some(request_delay) = self.delivery.request_delay else {
            return self.record_fault("it is lost");
        };
        pause(request_delay).await;
        if self.delivery.fails_before {
            self.record_fault("it fails before the write");
            let _ = reply_sender.send(Err(unavailable()));
            return;
        }
        self.connection.request_arrives(self.request.number);
        let result = execute(&server, self.request);
        if let Some(later) = self.delivery.duplicate_after {
            self.record_fault("it will arrive a second time");
            tokio::join!(self.reply(result, reply_sender), pause(later));
            self.record_fault("it arrives a second time");
            // The duplicate is executed completely.
            let duplicate = Request {
                max_written: usize::MAX,
                ..self.request
            };
            execute(&server, duplicate);
        } else {
            self.reply(result, reply_sender).await;
        }
    }

    async fn reply<T>(&self, result: T, reply_sender: oneshot::Sender<Result<T, StoreError>>) {
        if self.delivery.reply_lost {
            return self.record_fault("it is executed, and the reply is lost");
        }
        pause(self.delivery.reply_delay + self.connection.partitioned_for()).await;
        let reply = if self.delivery.fails_after {
            self.record_fault("it is executed, and the reply is an error");
            Err(unavailable())
        } else {
            Ok(result)
        };
        // The caller may have crashed or given up.
        let _ = reply_sender.send(reply);
    }

    fn record_fault(&self, description: &str) {
        let (request, method) = (self.request.number, self.method);
        self.connection.network.recorder.record_fault(
            self.request.node,
            format!("request {request}, {method}: {description}"),
        );
    }
}

async fn pause(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}

fn unavailable() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "simulation",
        "the store cannot be reached",
    )
}

impl Store for StoreProxy {
    fn address(&self) -> &'static str {
        "simulation:"
    }

    fn may_prefetch(&self) -> bool {
        self.connection.network.plan.prefetch
    }

    fn env(&self) -> &str {
        self.server.store.env()
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        self.send(
            "create",
            self.connection.delivery(tasks.len()),
            move |server, request| server.create(request, &tasks),
        )
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.read(move |store| store.get(ids.clone()))
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.read(move |store| store.query(query.clone()))
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.read(move |store| store.count(filter.clone(), now))
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.read(|store| store.kinds())
    }

    fn claim(&self, mut claim: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        let delivery = self.connection.delivery_of_work(0);
        // The real owner contains the process id, which differs between two runs of a seed.
        claim.owner = self.connection.node.to_string().into();
        if self.is(Broken::LeaseFromTheReply) {
            let round_trip = delivery.request_delay.unwrap_or_default() + delivery.reply_delay;
            let round_trip = TimeDelta::milliseconds(signed(round_trip));
            for demand in &mut claim.demands {
                demand.lease = (demand.lease - round_trip).max(TimeDelta::milliseconds(1));
            }
        }
        self.send("claim", delivery, move |server, request| {
            server.claim(request, &claim)
        })
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        let count = renewals.len();
        let reply = self.send(
            "renew",
            self.connection.delivery_of_work(count),
            move |server, request| server.renew(request, &renewals, now),
        );
        if !self.is(Broken::RenewalAssumed) {
            return reply;
        }
        Box::pin(async move { Ok(reply.await.unwrap_or_else(|_| vec![Renewed::Held; count])) })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        self.send(
            "finish",
            self.connection.delivery_of_work(finishes.len()),
            move |server, request| server.finish(request, &finishes, now),
        )
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.send(
            "change",
            self.connection.delivery(ids.len()),
            move |server, request| server.change(request, &ids, &action, now),
        )
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.connection.notifier.subscribe(topic)
    }
}
