//! The requests to Firestore. Each has a deadline, is retried if that may help, and is counted.

use std::fmt;
use std::future::Future;

use ::firestore::FirestoreDb;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Connection, Open, RawClient};
use super::proto::{Code, Status, Timestamp, pb};
use super::retry::{self, Failure, RequestDeadlines, Response, out_of_time};
use super::usage::Meter;

/// The maximum number of streams that listen to one task each. The ends of more tasks are found by reading.
const MAX_TASK_STREAMS: usize = 40;

/// The requests to one database.
pub(super) struct Rpc {
    connection: Connection,
    database: String,
    documents: String,
    deadlines: RequestDeadlines,
    pub(super) meter: Meter,
    /// The permits for streams that listen to one task each. A connection carries up to 100 requests at a time.
    pub(super) task_streams: Semaphore,
}

impl Rpc {
    pub(super) fn new(db: &FirestoreDb, open: Open, deadlines: RequestDeadlines) -> Self {
        Self {
            connection: Connection::new(db.client().get(), open, deadlines.attempt),
            database: db.get_database_path().clone(),
            documents: db.get_documents_path().clone(),
            deadlines,
            meter: Meter::default(),
            task_streams: Semaphore::new(MAX_TASK_STREAMS),
        }
    }

    /// Returns the common beginning of all document names.
    pub(super) fn documents(&self) -> &str {
        &self.documents
    }

    pub(super) fn deadlines(&self) -> RequestDeadlines {
        self.deadlines
    }

    /// Runs a query. Returns the documents in its order.
    pub(super) async fn query(&self, query: &pb::StructuredQuery) -> Result<Vec<pb::Document>, Failure> {
        use pb::run_query_request::QueryType;
        let response = self.send("a query", |mut client| async move {
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
        let documents = response.await?.value;
        self.meter.queried(documents.len());
        Ok(documents)
    }

    /// Counts the documents that a query finds.
    pub(super) async fn count(&self, query: &pb::StructuredQuery) -> Result<u64, Failure> {
        let response = self.send("a count", |mut client| async move {
            let request = pb::RunAggregationQueryRequest {
                parent: self.documents.clone(),
                query_type: Some(count_query(query.clone())),
                ..Default::default()
            };
            let mut stream = client.run_aggregation_query(request).await?.into_inner();
            while let Some(part) = stream.message().await? {
                if let Some(count) = part.result.and_then(count_in) {
                    return Ok(count);
                }
            }
            Err(Status::internal("the count is missing from the answer"))
        });
        let count = response.await?.value;
        // A thousand counted documents are billed as one read.
        self.meter
            .queried(usize::try_from(count.div_ceil(1000)).unwrap_or(usize::MAX));
        Ok(count)
    }

    /// Returns the documents with these names that exist, in any order.
    pub(super) async fn get(&self, names: &[String]) -> Result<Vec<pb::Document>, Failure> {
        use pb::batch_get_documents_response::Result::Found;
        let response = self.send("reading documents", |mut client| async move {
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
        let found = response.await?.value;
        // A missing document is billed like an existing one.
        self.meter.read(names.len());
        Ok(found)
    }

    /// Reads a document, which need not exist. Returns the server's time.
    pub(super) async fn ping(&self, name: &str) -> Result<Option<Timestamp>, Failure> {
        let response = self.send("the first request", |mut client| async move {
            let request = pb::BatchGetDocumentsRequest {
                database: self.database.clone(),
                documents: vec![name.to_owned()],
                ..Default::default()
            };
            let mut stream = client.batch_get_documents(request).await?.into_inner();
            Ok(stream.message().await?.and_then(|part| part.read_time))
        });
        self.meter.read(1);
        Ok(response.await?.value)
    }

    /// Makes all of the writes or none.
    pub(super) async fn commit(&self, writes: &[pb::Write]) -> Result<Response<Vec<Timestamp>>, Failure> {
        self.send("a write", |mut client| async move {
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
        let answer = timeout(self.deadlines.attempt, self.receive(client.commit(request))).await;
        let results = answer.map_err(|_| out_of_time())??.into_inner().write_results;
        Ok(results
            .into_iter()
            .map(|result| result.update_time.unwrap_or_default())
            .collect())
    }

    /// Makes each of the writes independently of the others. Returns a result for each, in order.
    pub(super) async fn batch(
        &self,
        writes: &[pb::Write],
    ) -> Result<Response<Vec<Result<Timestamp, Status>>>, Failure> {
        self.send("a batch of writes", |mut client| async move {
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

    /// Opens a stream that reports changes.
    pub(super) async fn listen(
        &self,
        requests: impl futures_core::Stream<Item = pb::ListenRequest> + Send + 'static,
    ) -> Result<::firestore::gcloud_sdk::tonic::Streaming<pb::ListenResponse>, Status> {
        self.meter.sent();
        let mut client = self.connection.client().await;
        let opened = timeout(self.deadlines.attempt, self.receive(client.listen(requests))).await;
        Ok(opened.map_err(|_| out_of_time())??.into_inner())
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Sends a request, and retries it by the retry policy. `name` names the request in error messages.
    async fn send<T, F>(&self, name: &str, attempt: impl Fn(RawClient) -> F) -> Result<Response<T>, Failure>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let counted = || async {
            self.meter.sent();
            // On the heap, because otherwise the futures of all operations would be as large as a client.
            self.receive(Box::pin(attempt(self.connection.client().await)))
                .await
        };
        retry::send_with_retries(name, self.deadlines, counted).await
    }

    /// Awaits an answer, and records that the connection is alive.
    async fn receive<T>(&self, request: impl Future<Output = T>) -> T {
        let answer = request.await;
        self.connection.received();
        answer
    }
}

const COUNT: &str = "count";

fn count_query(query: pb::StructuredQuery) -> pb::run_aggregation_query_request::QueryType {
    use pb::structured_aggregation_query::{Aggregation, QueryType, aggregation};
    pb::run_aggregation_query_request::QueryType::StructuredAggregationQuery(pb::StructuredAggregationQuery {
        aggregations: vec![Aggregation {
            alias: COUNT.to_owned(),
            operator: Some(aggregation::Operator::Count(aggregation::Count { up_to: None })),
        }],
        query_type: Some(QueryType::StructuredQuery(query)),
    })
}

fn count_in(mut result: pb::AggregationResult) -> Option<u64> {
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
