//! The store as a worker sees it: at the other end of a bad line.

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
use super::network::{Fate, Line};
use super::server::{Caller, Server, at_once};

/// A worker's end of the line.
#[derive(Debug)]
pub(crate) struct Front {
    line: Arc<Line>,
    server: Arc<Server>,
}

impl Front {
    pub(crate) fn new(line: Arc<Line>, server: Arc<Server>) -> Self {
        server.connect(&line);
        Self { line, server }
    }

    /// Sends a request. What is on its way goes on when the caller is gone.
    fn send<T: Send + 'static>(
        &self,
        what: &'static str,
        fate: Fate,
        act: impl Fn(&Server, Caller) -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let (answer, answered) = oneshot::channel();
        let network = &self.line.network;
        let caller = Caller {
            who: self.line.who,
            called: network.time.now(),
            request: self.server.next_request(),
            part: fate.part,
        };
        let deadline = Instant::now() + Duration::from_millis(network.plan.deadline + network.plan.starved);
        let (line, server) = (self.line.clone(), self.server.clone());
        tokio::spawn(travel(line, server, (caller, what, fate), act, answer));
        Box::pin(async move {
            if let Ok(Ok(answer)) = timeout_at(deadline, answered).await {
                return answer;
            }
            sleep_until(deadline).await;
            Err(unavailable())
        })
    }

    /// A read, which may fail as everything does.
    fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn Store) -> BoxFuture<'_, T> + Send + 'static,
    ) -> BoxFuture<'static, T> {
        self.send("read", self.line.fate(0), move |server, _| {
            at_once(read(&*server.store))
        })
    }

    fn is(&self, broken: Broken) -> bool {
        self.line.network.broken == Some(broken)
    }
}

/// A request on its way to the store and back.
async fn travel<T>(
    line: Arc<Line>,
    server: Arc<Server>,
    (caller, what, fate): (Caller, &'static str, Fate),
    act: impl Fn(&Server, Caller) -> T,
    answer: oneshot::Sender<Result<T, StoreError>>,
) {
    let trouble = |happened: &str| {
        let request = caller.request;
        line.network
            .scribe
            .trouble(caller.who, format!("request {request}, {what}: {happened}"));
    };
    let Some(there) = fate.there else {
        return trouble("it is lost");
    };
    pause(there).await;
    if fate.refused {
        trouble("an error, nothing is done");
        let _ = answer.send(Err(unavailable()));
        return;
    }
    line.arrives(caller.request);
    let done = act(&server, caller);
    // What arrives again is done as a whole.
    let again = Caller {
        part: usize::MAX,
        ..caller
    };
    if let Some(later) = fate.repeated {
        trouble("it will arrive once more");
        tokio::join!(reply(&line, fate, done, answer, &trouble), pause(later));
        trouble("it arrives once more");
        act(&server, again);
    } else {
        reply(&line, fate, done, answer, &trouble).await;
    }
}

async fn reply<T>(
    line: &Line,
    fate: Fate,
    done: T,
    answer: oneshot::Sender<Result<T, StoreError>>,
    trouble: &impl Fn(&str),
) {
    if fate.reply_lost {
        return trouble("done, and the reply is lost");
    }
    pause(fate.back + line.held_up()).await;
    let reply = if fate.failed {
        trouble("done, and the answer is an error");
        Err(unavailable())
    } else {
        Ok(done)
    };
    // The caller may be dead, or have given up.
    let _ = answer.send(reply);
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

impl Store for Front {
    fn address(&self) -> &'static str {
        "simulation:"
    }

    fn may_prefetch(&self) -> bool {
        self.line.network.plan.ahead
    }

    fn env(&self) -> &str {
        self.server.store.env()
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        self.send("create", self.line.fate(tasks.len()), move |server, caller| {
            server.create(caller, &tasks)
        })
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

    fn claim(&self, mut request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        let fate = self.line.fate_of_work(0);
        // Its host and its process are different in every run of one seed.
        request.owner = self.line.who.to_string().into();
        if self.is(Broken::LeaseFromTheReply) {
            let round_trip = TimeDelta::milliseconds(signed(fate.there.unwrap_or_default() + fate.back));
            for demand in &mut request.demands {
                demand.lease = (demand.lease - round_trip).max(TimeDelta::milliseconds(1));
            }
        }
        self.send("claim", fate, move |server, caller| {
            server.claim(caller, &request)
        })
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        let many = renewals.len();
        let answer = self.send("renew", self.line.fate_of_work(many), move |server, caller| {
            server.renew(caller, &renewals, now)
        });
        if !self.is(Broken::RenewalBelieved) {
            return answer;
        }
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|_| vec![Renewed::Held; many])) })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        self.send(
            "finish",
            self.line.fate_of_work(finishes.len()),
            move |server, caller| server.finish(caller, &finishes, now),
        )
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.send("change", self.line.fate(ids.len()), move |server, caller| {
            server.change(caller, &ids, &action, now)
        })
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.line.notifier.subscribe(topic)
    }
}
