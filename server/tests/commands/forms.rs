//! Exports in other forms than updates, to stdout, and what import says of them.

use std::fs;

use crate::Place;
use crate::documents::{deletion, entry, hook, string_in_array, text};

#[test]
fn a_document_without_text_is_not_exported_as_text_and_its_roots_are_named() {
    let place = Place::new();
    place.store("board", &[entry("x", 7)]);
    place.store("note", &[text(1, 0, "hello")]);
    place.store("list", &[string_in_array("x")]);
    place.store("page", &[hook("widget")]);
    place.store("emptied", &[text(1, 0, "gone"), deletion(1, 0..4)]);
    let export = |name: &str, more: &[&str]| {
        let export = ["export", name, "--data", "data", "--to", "out", "--as", "text"];
        place.run(&[&export[..], more].concat())
    };
    for (name, more, says) in [
        ("board", &[][..], "document \"board\": it holds no text; its roots are \"m\" (map); --as json"),
        ("board", &["--root", "m"], "its root \"m\" holds no text; its roots are \"m\" (map)"),
        ("note", &["--root", "nope"], "it has no root \"nope\"; its roots are \"t\" (text)"),
        ("emptied", &["--root", "nope"], "it has no root \"nope\"; it is empty"),
    ] {
        export(name, more).expect(1, "", says);
        assert!(!place.path("out").exists(), "{name}");
    }
    for (name, more, content) in [
        ("note", &["--root", "t"][..], "hello"),
        ("emptied", &[], ""),
        ("page", &[], ""),
        ("list", &[], "x\n"),
    ] {
        export(name, more).expect(0, "", "");
        assert_eq!(fs::read_to_string(place.path("out")).unwrap(), content, "{name}");
        fs::remove_file(place.path("out")).unwrap();
    }
    let all = ["export", "--data", "data", "--to", "all", "--as", "text"];
    place
        .run(&all)
        .expect(
            1,
            "4 documents in \"all\"",
            "document \"board\" is left out: it holds no text; its roots are",
        )
        .expect(1, "", "1 document left out");
}

#[test]
fn a_document_goes_to_stdout_and_nothing_else_does() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    let export = ["export", "a", "--data", "data", "--to", "-"];
    let run = place.run(&[&export[..], &["--as", "text"]].concat());
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (Some(0), "hello", ""));
    let run = place.run(&[&export[..], &["--as", "json"]].concat());
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (Some(0), r#"{"t":"hello"}"#, ""));
    let update = place.command(&export).output().unwrap().stdout;
    place.run(&["export", "a", "--data", "data", "--to", "a.yjs"]).expect(0, "", "");
    assert_eq!(update, fs::read(place.path("a.yjs")).unwrap());
    place.run(&["export", "--data", "data", "--to", "-"]).expect(1, "", "stdout takes one document");
    assert!(!place.path("-").exists());
}

#[test]
fn an_import_says_what_it_takes_where_it_is_given_something_else() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    for form in ["json", "text"] {
        place.run(&["export", "--data", "data", "--to", form, "--as", form]).expect(0, "1 document", "");
        let says =
            format!("\"{form}\" was written by `coscribe export --as {form}`; import takes a directory");
        place.run(&["import", "--data", "copy", "--from", form]).expect(1, "", &says);
    }
    let one = ["import", "a", "--data", "copy", "--from", "json/00000001.json"];
    place.run(&one).expect(
        1,
        "",
        "is JSON, as `coscribe export --as json` writes it; import takes a directory",
    );
    fs::create_dir(place.path("empty")).unwrap();
    let empty = place.run(&["import", "--data", "copy", "--from", "empty"]);
    empty.expect(1, "", "there is no manifest.json in \"empty\"");
    let missing = place.run(&["import", "a", "--data", "copy", "--from", "missing"]);
    let missing = missing.expect(1, "", "cannot read \"missing\": No such file");
    assert_eq!(missing.stderr.matches("No such file").count(), 1, "{missing:?}");
    assert!(!place.path("copy").exists(), "nothing is stored");
}

#[test]
fn an_export_is_under_its_name_as_a_whole_or_not_at_all() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    fs::write(place.path("there.yjs"), "mine").unwrap();
    let export = |to: &str| place.run(&["export", "a", "--data", "data", "--to", to]);
    let said = export("there.yjs").expect(1, "", "cannot write \"there.yjs\": File exists");
    assert_eq!(said.stderr.matches("exists").count(), 1, "{said:?}");
    assert_eq!(fs::read(place.path("there.yjs")).unwrap(), b"mine");
    export("nowhere/a.yjs").expect(1, "", "cannot write \"nowhere/a.yjs\": No such file");
    export("a.yjs").expect(0, "", "");
    let names = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["a.yjs", "data", "there.yjs"], "no temporary file is left");
}

#[test]
fn counts_are_grammatical() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    let one = "1 document: 1 record in 1 segment, 0 snapshots";
    place.run(&["verify", "--data", "data"]).expect(0, one, "");
    place.store("b", &[text(1, 0, "hello"), text(1, 5, "!")]);
    place.run(&["verify", "--data", "data"]).expect(0, "2 documents: 3 records in", "");
}
