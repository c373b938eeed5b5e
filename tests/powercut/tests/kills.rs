//! Two tills and a relay that are killed again and again. `COMPTOIR_KILLS` sets another number of kills.

use comptoir_powercut::kills;

#[test]
fn nothing_reported_saved_or_acknowledged_is_lost_by_two_hundred_kills() {
    let kills = std::env::var("COMPTOIR_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200);
    let killed = kills::campaign(kills, 1);
    eprintln!("{killed:?}");
    assert_eq!(killed.tills + killed.relays, kills);
    assert!(killed.tills > kills / 3 && killed.relays > kills / 5, "{killed:?}");
    assert!(killed.saved >= killed.synced && killed.synced > 50, "{killed:?}");
}
