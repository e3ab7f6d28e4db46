//! Extending leases and storing progress.

use oncetask::store::{Renewal, Renewed};
use oncetask::task::transition::Verdict;
use oncetask::task::{LeaseToken, Progress};

use super::list_cases;
use super::support::{Backend, at, extension, leased_until, millis, task, token};

list_cases!("renew":
    a_lease_is_extended,
    a_late_renewal_does_not_shorten_the_lease,
    a_lease_is_extended_repeatedly,
    a_foreign_token_is_refused,
    the_claim_is_lost_after_its_lease_has_expired,
    the_claim_of_a_finished_task_is_lost,
    the_claim_of_a_released_task_is_lost,
    a_deleted_task_is_gone,
    an_unknown_task_is_gone,
    a_cancellation_is_reported_and_the_claim_stays_active,
    progress_is_stored,
    progress_alone_does_not_extend_the_lease,
    progress_under_a_foreign_token_is_refused,
    results_are_in_request_order,
);

fn progress(fraction: f64, message: &str) -> Progress {
    Progress::new(fraction, message, millis(10_250))
}

async fn a_lease_is_extended(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(store.extend(&claimed, at(90), at(30)).await, Renewed::Held);
    let mut expected = claimed.task.clone();
    expected
        .state
        .lease
        .as_mut()
        .expect("a claimed task has a lease")
        .until = at(90);
    assert_eq!(store.task("a").await, expected, "nothing else is changed");
}

async fn a_late_renewal_does_not_shorten_the_lease(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    for (until, now) in [(90, 30), (119, 59), (90, 30)] {
        assert_eq!(store.extend(&claimed, at(until), at(now)).await, Renewed::Held);
    }
    assert_eq!(leased_until(&store.task("a").await), Some(at(119)));
}

async fn a_lease_is_extended_repeatedly(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    for n in 1..5 {
        assert_eq!(
            store.extend(&claimed, at(n * 30 + 60), at(n * 30)).await,
            Renewed::Held
        );
    }
    assert_eq!(leased_until(&store.task("a").await), Some(at(180)));
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(179)).await,
        Ok(())
    );
}

async fn a_foreign_token_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut foreign = extension(&claimed, at(90));
    foreign.token = LeaseToken::random();
    assert_eq!(store.renew(foreign, at(30)).await, Renewed::Lost);
    assert_eq!(store.task("a").await, claimed.task);
}

async fn the_claim_is_lost_after_its_lease_has_expired(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(store.extend(&claimed, at(120), at(60)).await, Renewed::Lost);
    assert_eq!(store.task("a").await, claimed.task);
}

async fn the_claim_of_a_finished_task_is_lost(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(1)).await,
        Ok(())
    );
    assert_eq!(store.extend(&claimed, at(90), at(2)).await, Renewed::Lost);
    assert!(store.task("a").await.is_done());
}

async fn the_claim_of_a_released_task_is_lost(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(store.finish(&claimed, Verdict::Release, at(1)).await, Ok(()));
    assert_eq!(store.extend(&claimed, at(90), at(2)).await, Renewed::Lost);
}

async fn a_deleted_task_is_gone(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    store.delete("a").await;
    assert_eq!(store.extend(&claimed, at(90), at(2)).await, Renewed::Gone);
    assert_eq!(store.find("a").await, None);
}

async fn an_unknown_task_is_gone(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut unknown = extension(&claimed, at(90));
    unknown.id = "b".into();
    assert_eq!(store.renew(unknown, at(2)).await, Renewed::Gone);
    assert_eq!(store.find("b").await, None);
}

async fn a_cancellation_is_reported_and_the_claim_stays_active(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    other.cancel("a", at(10)).await;
    assert_eq!(store.extend(&claimed, at(90), at(30)).await, Renewed::Cancelled);
    assert_eq!(leased_until(&store.task("a").await), Some(at(90)));
}

async fn progress_is_stored(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    for reported in [progress(0.25, "a quarter"), progress(1.0, "")] {
        let renewal = extension(&claimed, at(90)).progress(Some(reported.clone()));
        assert_eq!(store.renew(renewal, at(30)).await, Renewed::Held);
        assert_eq!(store.task("a").await.state.progress, Some(reported));
    }
    assert_eq!(store.extend(&claimed, at(99), at(40)).await, Renewed::Held);
    assert_eq!(
        store.task("a").await.state.progress,
        Some(progress(1.0, "")),
        "a renewal without progress keeps the stored progress"
    );
}

async fn progress_alone_does_not_extend_the_lease(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let renewal = Renewal::new("a".into(), token(&claimed), None).progress(Some(progress(0.5, "half")));
    assert_eq!(store.renew(renewal, at(30)).await, Renewed::Held);
    let task = store.task("a").await;
    assert_eq!(leased_until(&task), Some(at(60)));
    assert_eq!(task.state.progress, Some(progress(0.5, "half")));
}

async fn progress_under_a_foreign_token_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let renewal = Renewal::new("a".into(), LeaseToken::random(), None).progress(Some(progress(0.5, "half")));
    assert_eq!(store.renew(renewal, at(30)).await, Renewed::Lost);
    assert_eq!(store.task("a").await, claimed.task);
}

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    let mut claimed = Vec::new();
    for id in ["a", "b", "c", "d"] {
        claimed.push(store.create_and_claim(task(id), at(0)).await);
    }
    store.delete("a").await;
    store.cancel("c", at(1)).await;
    let mut renewals: Vec<_> = claimed.iter().map(|claimed| extension(claimed, at(90))).collect();
    renewals[3].token = LeaseToken::random();
    assert_eq!(
        store.renew_all(renewals, at(2)).await,
        [Renewed::Gone, Renewed::Held, Renewed::Cancelled, Renewed::Lost]
    );
    assert_eq!(store.renew_all(Vec::new(), at(2)).await, []);
}
