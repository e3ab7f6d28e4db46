//! Claims of generators only, for a handler without a free slot. The window of the handler's queue is not used.

use chrono::SubsecRound as _;

use super::fill::FillDemand;
use super::next_due::earliest;
use super::selection::Candidate;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;
use crate::task::transition;

/// The number of generators that the first query reads. Most handlers have at most one, and then it suffices.
const FIRST_PAGE: usize = 2;
/// The number of generators that each further query reads.
const NEXT_PAGE: usize = 32;

impl FillDemand<'_> {
    /// Claims due generators. Reads generators in the order of their due times, claimed ones too, until one is not
    /// due: its due time is the demand's next one.
    pub(super) async fn fill_with_generators(&mut self) -> Result<(), Failure> {
        let claims = self.claims;
        let generators = queries::generators(&claims.documents.env, &self.demand.kinds);
        let (mut cursor, mut limit) = (None, FIRST_PAGE);
        let mut has_more = self.free_slots() > 0;
        while has_more {
            let documents = claims
                .documents
                .query(&generators.clone().start_after(cursor).limit(limit))
                .await?;
            let next = documents.last().filter(|_| documents.len() == limit);
            cursor = next.map(|last| generators.position_of(last));
            let found: Vec<_> = documents
                .into_iter()
                .filter_map(|document| claims.documents.decode_or_warn(document))
                .collect();
            // Within one second the index orders due times by their spelling, so only whole seconds are compared.
            let last = found
                .last()
                .map(|last| last.task.state.wait_until.trunc_subsecs(0));
            let lost = self.claim_due_generators(found).await?;
            if lost > 0 || self.free_slots() == 0 {
                self.filled.next_due = Some(self.now);
                self.filled.drained = false;
                break;
            }
            has_more = cursor.is_some() && last.is_none_or(|last| last <= self.now);
            let beyond = last.filter(|_| cursor.is_some() && !has_more);
            self.filled.next_due = earliest(self.filled.next_due, beyond);
            limit = NEXT_PAGE;
        }
        Ok(())
    }

    /// Claims the due ones of these generators, and records the next due time of the others. Returns the number of
    /// claims that were lost because another process was faster.
    async fn claim_due_generators(&mut self, generators: Vec<Stored>) -> Result<usize, Failure> {
        let is_due = |stored: &Stored| transition::is_due(&stored.task.state, self.now);
        let (mut due, later): (Vec<_>, Vec<_>) = generators.into_iter().partition(is_due);
        let next = later.iter().filter_map(|stored| stored.task.state.due()).min();
        self.filled.next_due = earliest(self.filled.next_due, next);
        due.truncate(self.free_slots());
        let candidates = due.into_iter().map(|stored| Candidate::single(None, stored));
        let round = self.lease(candidates.collect()).await;
        self.filled.claims.extend(round.claims);
        round.failure.map_or(Ok(round.lost), Err)
    }
}
