//! Variables that the first process was started with reach the services that name them.

use coracle_system_tests::with_units;

#[test]
fn what_coracled_was_started_with_is_passed_on_also_by_its_successor() {
    let unit = "[Service]\nType=oneshot\nPassEnvironment=BOAT ABSENT\nPassEnvironment=RIVER\nEnvironment=RIVER=own\nExecStart=/bin/sh -c 'echo $BOAT-$RIVER-$SEA-$ABSENT > $OUT'\n";
    with_units(&[], |coracle| {
        let out = coracle.folder().join("said");
        let out = out.display().to_string();
        coracle.unit("say.service", &unit.replace("$OUT", &out));
        let mut direct = coracle.first_process(
            [("BOAT", "coracle"), ("RIVER", "Teifi"), ("SEA", "Irish")],
            &[],
        );
        let said = || {
            coracle.ok(&["start", "say"]);
            std::fs::read_to_string(&out).expect("it was said")
        };
        assert_eq!(said(), "coracle-own--\n");
        coracle.ok(&["daemon-reexec"]);
        assert_eq!(said(), "coracle-own--\n");
        coracle.ok(&["daemon-exit"]);
        direct.wait().expect("it ends");
    });
}
