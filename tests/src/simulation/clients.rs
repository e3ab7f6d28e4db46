//! Those who create tasks, cancel, reset and delete them.

use std::sync::Arc;
use std::time::Duration;

use oncetask::{Client, Error, Recurrence, TaskId};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clock::Millis;
use super::history::{What, Who};
use super::invariants::starts;
use super::plan::{Ask, Order, TaskPlan};
use super::tasks::{Careful, Grouped, Keyed, Kind, Plain, Tick};
use super::world::World;

impl World {
    /// Asks for everything in the plan, each until it was answered.
    pub(super) fn clients(self: &Arc<Self>) -> JoinSet<()> {
        let client = self.client(Who::Client, &self.plan.client);
        let mut asking = JoinSet::new();
        for task in &self.plan.tasks {
            asking.spawn(self.clone().create(client.clone(), task.clone(), task.created));
        }
        for order in &self.plan.orders {
            asking.spawn(self.clone().ask(client.clone(), *order));
        }
        asking
    }

    async fn create(self: Arc<Self>, client: Client, task: TaskPlan, at: Millis) {
        sleep(Duration::from_millis(at)).await;
        let created = async || {
            let created = create(&client, &task).await;
            created.map(|id| self.stage.scribe.note(Who::Client, What::Acknowledged { id }))
        };
        // Any other error is no trouble of the store: a rule whose beats are over.
        while let Err(Error::Store(_)) = created().await {
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask(self: Arc<Self>, client: Client, order: Order) {
        let Some(task) = self.plan.tasks.iter().find(|task| task.number == order.task) else {
            return;
        };
        if order.what == Ask::CreateAgain {
            return self.clone().create(client, task.clone(), order.at).await;
        }
        sleep(Duration::from_millis(order.at)).await;
        let id = id(task);
        if let Ask::ResetOnceDone(after) = order.what {
            while !self.server.is_done(&id) {
                if self.network.is_quiet() {
                    return;
                }
                self.server.written.notified().await;
            }
            sleep(Duration::from_millis(after)).await;
        }
        let asked = async || match order.what {
            Ask::Cancel => client.cancel(&id).await,
            Ask::Delete => client.delete(&id).await,
            Ask::ResetOnceDone(_) | Ask::CreateAgain => client.reset(&id).await,
        };
        while asked().await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn id(task: &TaskPlan) -> TaskId {
    TaskId::new(format!("{}-{}", task.kind.name(), task.number))
}

async fn create(client: &Client, task: &TaskPlan) -> Result<TaskId, Error> {
    let number = task.number;
    let key = task.key.map(|key| format!("key {key}"));
    let at = (task.delay > 0).then(|| client.clock().now() + Duration::from_millis(task.delay));
    let script = task.script.clone();
    let creation = match (task.kind, &task.rule) {
        (Kind::Plain, _) => {
            client
                .create(Plain {
                    number,
                    key,
                    at,
                    script,
                })
                .await
        }
        (Kind::Careful, _) => {
            client
                .create(Careful {
                    number,
                    key,
                    at,
                    script,
                })
                .await
        }
        (Kind::Keyed, _) => {
            client
                .create(Keyed {
                    number,
                    key,
                    at,
                    script,
                })
                .await
        }
        (Kind::Grouped, _) => {
            client
                .create(Grouped {
                    number,
                    key,
                    at,
                    script,
                })
                .await
        }
        (Kind::Tick, rule) => {
            let rule = rule.as_ref().expect("a generator has a rule");
            let text = format!("FREQ=SECONDLY;INTERVAL={};COUNT={}", rule.every, rule.count);
            let every = Recurrence::new(&text)
                .expect("a rule")
                .starting_at(starts(task).naive_utc())
                .missed(rule.missed);
            client
                .create(Tick {
                    number,
                    key,
                    every,
                    script,
                })
                .await
        }
    };
    creation.map(|created| created.id().clone())
}
