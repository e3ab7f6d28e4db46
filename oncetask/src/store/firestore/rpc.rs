//! The requests: each with a deadline, repeated where that may help, and counted.

use std::fmt;
use std::future::Future;

use ::firestore::FirestoreDb;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Client, Connection, Open};
use super::proto::{Code, Status, Timestamp, pb};
use super::retry::{self, Deadlines, Failure, Response, out_of_time};
use super::usage::Meter;

/// How many tasks are listened for at a time; those who wait for more look now and then.
const MAX_TASK_STREAMS: usize = 40;

/// The requests that the store makes of one database.
pub(super) struct Rpc {
    connection: Connection,
    database: String,
    documents: String,
    deadlines: Deadlines,
    pub(super) meter: Meter,
    /// Streams that listen for one task each. The connection carries a hundred requests at a time.
    pub(super) task_streams: Semaphore,
}

impl Rpc {
    pub(super) fn new(db: &FirestoreDb, open: Open, deadlines: Deadlines) -> Self {
        Self {
            connection: Connection::new(db.client().get(), open, deadlines.attempt),
            database: db.get_database_path().clone(),
            documents: db.get_documents_path().clone(),
            deadlines,
            meter: Meter::default(),
            task_streams: Semaphore::new(MAX_TASK_STREAMS),
        }
    }

    /// What the names of all documents begin with.
    pub(super) fn documents(&self) -> &str {
        &self.documents
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// The documents that a query finds, in its order.
    pub(super) async fn query(&self, query: &pb::StructuredQuery) -> Result<Vec<pb::Document>, Failure> {
        use pb::run_query_request::QueryType;
        let reply = self.repeat("a query", |mut client| async move {
            let request = pb::RunQueryRequest {
                parent: self.documents.clone(),
                query_type: Some(QueryType::StructuredQuery(query.clone())),
                ..Default::default()
            };
            let mut stream = client.run_query(request).await?.into_inner();
            let mut documents = Vec::new();
            while let Some(part) = stream.message().await? {
                documents.extend(part.document);
            }
            Ok(documents)
        });
        let documents = reply.await?.value;
        self.meter.queried(documents.len());
        Ok(documents)
    }

    /// How many documents a query finds.
    pub(super) async fn count(&self, query: &pb::StructuredQuery) -> Result<u64, Failure> {
        let reply = self.repeat("a count", |mut client| async move {
            let request = pb::RunAggregationQueryRequest {
                parent: self.documents.clone(),
                query_type: Some(counting(query.clone())),
                ..Default::default()
            };
            let mut stream = client.run_aggregation_query(request).await?.into_inner();
            while let Some(part) = stream.message().await? {
                if let Some(count) = part.result.and_then(counted) {
                    return Ok(count);
                }
            }
            Err(Status::internal("the count is missing from the answer"))
        });
        let count = reply.await?.value;
        // One read for each thousand that were counted.
        self.meter
            .queried(usize::try_from(count.div_ceil(1000)).unwrap_or(usize::MAX));
        Ok(count)
    }

    /// The documents of these names that exist, in any order.
    pub(super) async fn get(&self, names: &[String]) -> Result<Vec<pb::Document>, Failure> {
        use pb::batch_get_documents_response::Result::Found;
        let reply = self.repeat("reading documents", |mut client| async move {
            let request = pb::BatchGetDocumentsRequest {
                database: self.database.clone(),
                documents: names.to_vec(),
                ..Default::default()
            };
            let mut stream = client.batch_get_documents(request).await?.into_inner();
            let mut found = Vec::new();
            while let Some(part) = stream.message().await? {
                if let Some(Found(document)) = part.result {
                    found.push(document);
                }
            }
            Ok(found)
        });
        let found = reply.await?.value;
        // One that is missing is billed like one that is there.
        self.meter.read(names.len());
        Ok(found)
    }

    /// Reads a document, whether there is one or not. Returns the server's time.
    pub(super) async fn ping(&self, name: &str) -> Result<Option<Timestamp>, Failure> {
        let reply = self.repeat("the first request", |mut client| async move {
            let request = pb::BatchGetDocumentsRequest {
                database: self.database.clone(),
                documents: vec![name.to_owned()],
                ..Default::default()
            };
            let mut stream = client.batch_get_documents(request).await?.into_inner();
            Ok(stream.message().await?.and_then(|part| part.read_time))
        });
        self.meter.read(1);
        Ok(reply.await?.value)
    }

    /// Makes all of the writes or none.
    pub(super) async fn commit(&self, writes: &[pb::Write]) -> Result<Response<Vec<Timestamp>>, Failure> {
        self.repeat("a write", |mut client| async move {
            let request = pb::CommitRequest {
                database: self.database.clone(),
                writes: writes.to_vec(),
                ..Default::default()
            };
            let answer = client.commit(request).await?.into_inner();
            let times = answer.write_results.into_iter();
            Ok(times
                .map(|result| result.update_time.unwrap_or_default())
                .collect())
        })
        .await
    }

    /// Makes all of the writes or none, in one attempt.
    pub(super) async fn commit_once(&self, writes: &[pb::Write]) -> Result<Vec<Timestamp>, Status> {
        self.meter.sent();
        let request = pb::CommitRequest {
            database: self.database.clone(),
            writes: writes.to_vec(),
            ..Default::default()
        };
        let mut client = self.connection.client().await;
        let answer = timeout(self.deadlines.attempt, self.heard(client.commit(request))).await;
        let results = answer.map_err(|_| out_of_time())??.into_inner().write_results;
        Ok(results
            .into_iter()
            .map(|result| result.update_time.unwrap_or_default())
            .collect())
    }

    /// Makes each of the writes or not, and says which.
    pub(super) async fn batch(
        &self,
        writes: &[pb::Write],
    ) -> Result<Response<Vec<Result<Timestamp, Status>>>, Failure> {
        self.repeat("a batch of writes", |mut client| async move {
            let request = pb::BatchWriteRequest {
                database: self.database.clone(),
                writes: writes.to_vec(),
                ..Default::default()
            };
            let answer = client.batch_write(request).await?.into_inner();
            let results = answer.status.into_iter().zip(answer.write_results);
            Ok(results
                .map(|(status, result)| match Code::from(status.code) {
                    Code::Ok => Ok(result.update_time.unwrap_or_default()),
                    code => Err(Status::new(code, status.message)),
                })
                .collect())
        })
        .await
    }

    /// Opens a stream of changes.
    pub(super) async fn listen(
        &self,
        requests: impl futures_core::Stream<Item = pb::ListenRequest> + Send + 'static,
    ) -> Result<::firestore::gcloud_sdk::tonic::Streaming<pb::ListenResponse>, Status> {
        self.meter.sent();
        let mut client = self.connection.client().await;
        let opened = timeout(self.deadlines.attempt, self.heard(client.listen(requests))).await;
        Ok(opened.map_err(|_| out_of_time())??.into_inner())
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Repeats a request as the policy says.
    async fn repeat<T, F>(&self, what: &str, attempt: impl Fn(Client) -> F) -> Result<Response<T>, Failure>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let counted = || async {
            self.meter.sent();
            // On the heap: the futures of all operations would be as large as a client else.
            self.heard(Box::pin(attempt(self.connection.client().await)))
                .await
        };
        retry::repeat(what, self.deadlines, counted).await
    }

    /// Notes that the connection is not deaf, when there is an answer.
    async fn heard<T>(&self, asked: impl Future<Output = T>) -> T {
        let answer = asked.await;
        self.connection.is_heard();
        answer
    }
}

const COUNT: &str = "count";

fn counting(query: pb::StructuredQuery) -> pb::run_aggregation_query_request::QueryType {
    use pb::structured_aggregation_query::{Aggregation, QueryType, aggregation};
    pb::run_aggregation_query_request::QueryType::StructuredAggregationQuery(pb::StructuredAggregationQuery {
        aggregations: vec![Aggregation {
            alias: COUNT.to_owned(),
            operator: Some(aggregation::Operator::Count(aggregation::Count { up_to: None })),
        }],
        query_type: Some(QueryType::StructuredQuery(query)),
    })
}

fn counted(mut result: pb::AggregationResult) -> Option<u64> {
    match result.aggregate_fields.remove(COUNT)?.value_type? {
        pb::value::ValueType::IntegerValue(count) => u64::try_from(count).ok(),
        _ => None,
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
