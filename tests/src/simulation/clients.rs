//! The client side of a simulation: creates, cancels, resets and deletes tasks.

use std::sync::Arc;
use std::time::Duration;

use oncetask::{Client, Error, Recurrence, TaskId};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clock::Millis;
use super::history::{EventKind, NodeId};
use super::invariants::rule_start;
use super::plan::{ClientAction, PlannedAction, TaskPlan};
use super::run::Simulation;
use super::tasks::{Careful, Grouped, Keyed, Kind, Plain, Tick};

/// The pause before a failed request is repeated.
const RETRY: Duration = Duration::from_millis(100);

impl Simulation {
    /// Starts every client action of the plan. Each is repeated until it is acknowledged.
    pub(super) fn start_clients(self: &Arc<Self>) -> JoinSet<()> {
        let client = self.client(NodeId::Client, &self.plan.client);
        let mut clients = JoinSet::new();
        for task in &self.plan.tasks {
            clients.spawn(self.clone().create(client.clone(), task.clone(), task.created));
        }
        for planned in &self.plan.client_actions {
            clients.spawn(self.clone().act(client.clone(), *planned));
        }
        clients
    }

    async fn create(self: Arc<Self>, client: Client, task: TaskPlan, at: Millis) {
        sleep(Duration::from_millis(at)).await;
        let created = async || {
            let created = create(&client, &task).await;
            created.map(|id| {
                let kind = EventKind::Acknowledged { id };
                self.shared.recorder.record(NodeId::Client, kind);
            })
        };
        // Any other error is permanent, for example that a rule has no occurrence left.
        while let Err(Error::Store(_)) = created().await {
            sleep(RETRY).await;
        }
    }

    async fn act(self: Arc<Self>, client: Client, planned: PlannedAction) {
        let Some(task) = self.plan.tasks.iter().find(|task| task.number == planned.task) else {
            return;
        };
        if planned.action == ClientAction::CreateAgain {
            return self.clone().create(client, task.clone(), planned.at).await;
        }
        sleep(Duration::from_millis(planned.at)).await;
        let id = task_id(task);
        if let ClientAction::ResetOnceDone(after) = planned.action {
            while !self.server.is_done(&id) {
                if self.network.is_healed() {
                    return;
                }
                self.server.written.notified().await;
            }
            sleep(Duration::from_millis(after)).await;
        }
        let request = async || match planned.action {
            ClientAction::Cancel => client.cancel(&id).await,
            ClientAction::Delete => client.delete(&id).await,
            ClientAction::ResetOnceDone(_) | ClientAction::CreateAgain => client.reset(&id).await,
        };
        while request().await.is_err() {
            sleep(RETRY).await;
        }
    }
}

fn task_id(task: &TaskPlan) -> TaskId {
    TaskId::new(format!("{}-{}", task.kind.name(), task.number))
}

async fn create(client: &Client, task: &TaskPlan) -> Result<TaskId, Error> {
    /// Creates a task of one of the types that do not recur.
    macro_rules! create {
        ($type:ident) => {
            client
                .create($type {
                    number: task.number,
                    key: task.key.map(|key| format!("key {key}")),
                    at: (task.delay > 0).then(|| client.clock().now() + Duration::from_millis(task.delay)),
                    script: task.script.clone(),
                })
                .await
        };
    }
    let created = match task.kind {
        Kind::Plain => create!(Plain),
        Kind::Careful => create!(Careful),
        Kind::Keyed => create!(Keyed),
        Kind::Grouped => create!(Grouped),
        Kind::Tick => client.create(tick(task)).await,
    };
    created.map(|enqueued| enqueued.id().clone())
}

fn tick(task: &TaskPlan) -> Tick {
    let rule = task.rule.as_ref().expect("a generator has a rule");
    let text = format!("FREQ=SECONDLY;INTERVAL={};COUNT={}", rule.every, rule.count);
    let every = Recurrence::new(&text)
        .expect("a valid rule")
        .starting_at(rule_start(task).naive_utc())
        .missed(rule.missed);
    Tick {
        number: task.number,
        key: task.key.map(|key| format!("key {key}")),
        every,
        script: task.script.clone(),
    }
}
