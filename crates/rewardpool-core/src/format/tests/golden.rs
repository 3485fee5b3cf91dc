//! Goal: the bytes of released formats never change, and wrong bytes are told apart. Method: the
//! sample as literal text, and small payloads with one fault each.
use super::*;

/// In hexadecimal, one record a line.
const BINARY: &str = "\
01 00 07 64 65 66 61 75 6c 74 03 80 b8 99 29 c0 84 3d 80 92 f4 01 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 c5 03 04 67 6f 6c 64 01 08 12 2d 35 30 20 25 2c 20 6f 6e 63 65 3b 20 22 61 5c 62 22 00 08 03 e9 87 91 ff ff ff ff ff ff ff 7f 08
81 ac 02 00 01 01 03
80 01
84 03 ff 02 ff
8f 00 02 01 02 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 82 80 04 01 03
80 02
02 00 01 01 09 00 ac 02 02 03 61 6e 6e 15 35 30 20 25 20 6d 6f 72 65 2c 20 22 6e 6f 77 22 3b 20 5c 6f 2f
02 00 01 06 00 01 09 00 ac 02 02 03 61 6e 6e 15 35 30 20 25 20 6d 6f 72 65 2c 20 22 6e 6f 77 22 3b 20 5c 6f 2f
03 00 03 04 6c 61 74 65 05 00 03 00 00
80 04
04 00 00 04 03 61 6e 6e 15 35 30 20 25 20 6d 6f 72 65 2c 20 22 6e 6f 77 22 3b 20 5c 6f 2f
05 00 01 03 61 6e 6e 15 35 30 20 25 20 6d 6f 72 65 2c 20 22 6e 6f 77 22 3b 20 5c 6f 2f
06 0c ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab
07 01 57 9e d1 00 00 00 00 00
08
09 ff ff ff ff ff ff ff ff
0a 00 00 00 00 00 00 00 00
11 02
12 00 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c 5c
";

const JSON: &str = r#"{"lsn":7,"type":"pool_created","pool":"default","number":0,"selector":"sum_tree","key_window_ms":86400000,"keys_max":1000000,"key_outcomes_max":4000000,"commitment":"c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5","items":[{"item":"gold","weight":1,"quantity":7},{"item":"-50 %, once; \"a\\b\"","weight":0,"quantity":7},{"item":"金","weight":72057594037927935,"quantity":7}]}
{"lsn":8,"type":"draw","pool":"default","first_request_id":300,"catalog_version":1,"mode":"best_effort","items":["金"]}
{"lsn":9,"type":"draw","pool":"default","first_request_id":301,"catalog_version":1,"mode":"best_effort","items":["gold"]}
{"lsn":10,"type":"draw","pool":"default","first_request_id":302,"catalog_version":1,"mode":"best_effort","items":[null,"-50 %, once; \"a\\b\"",null]}
{"lsn":11,"type":"draw","pool":"default","first_request_id":305,"catalog_version":2,"mode":"all_or_nothing","key":"30313233343536373839616263646566","fingerprint":65538,"items":["gold","金"]}
{"lsn":12,"type":"draw","pool":"default","first_request_id":307,"catalog_version":2,"mode":"best_effort","items":["-50 %, once; \"a\\b\""]}
{"lsn":13,"type":"update","pool":"default","item":"-50 %, once; \"a\\b\"","add_quantity":-5,"quantity":-1,"weight":300,"catalog_version":2,"actor":"ann","reason":"50 % more, \"now\"; \\o/"}
{"lsn":14,"type":"update","pool":"default","item":"-50 %, once; \"a\\b\"","set_quantity":-1,"expected_version":1,"set_weight":9,"quantity":-1,"weight":300,"catalog_version":2,"actor":"ann","reason":"50 % more, \"now\"; \\o/"}
{"lsn":15,"type":"item_added","pool":"default","index":3,"item":"late","weight":5,"quantity":-1,"catalog_version":3,"actor":"","reason":""}
{"lsn":16,"type":"draw","pool":"default","first_request_id":308,"catalog_version":2,"mode":"best_effort","items":["late"]}
{"lsn":17,"type":"item_retired","pool":"default","item":"gold","catalog_version":4,"actor":"ann","reason":"50 % more, \"now\"; \\o/"}
{"lsn":18,"type":"pool_state_changed","pool":"default","status":"paused","actor":"ann","reason":"50 % more, \"now\"; \\o/"}
{"lsn":19,"type":"snapshot","snapshot_lsn":12,"sha256":"abababababababababababababababababababababababababababababababab"}
{"lsn":20,"type":"rotate","next_segment":1,"digest":"0000000000d19e57"}
{"lsn":21,"type":"marker"}
{"lsn":22,"type":"digest","digest":"ffffffffffffffff"}
{"lsn":23,"type":"closed","digest":"0000000000000000"}
{"lsn":24,"type":"leader_epoch","epoch":2}
{"lsn":25,"type":"secret_changed","pool":"default","commitment":"5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c"}
"#;

const STRING_LINE: &str = r#"pool_created,7,default,0,sum_tree,86400000,1000000,4000000,c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5,gold;1;7;%2D50 %25%2C once%3B "a\b";0;7;金;72057594037927935;7
draw,8,default,300,1,best_effort,-,-,金
draw,9,default,301,1,best_effort,-,-,gold
draw,10,default,302,1,best_effort,-,-,-;%2D50 %25%2C once%3B "a\b";-
draw,11,default,305,2,all_or_nothing,30313233343536373839616263646566,65538,gold;金
draw,12,default,307,2,best_effort,-,-,%2D50 %25%2C once%3B "a\b"
update,13,default,%2D50 %25%2C once%3B "a\b",-5,-,-,-,-1,300,2,ann,50 %25 more%2C "now"%3B \o/
update,14,default,%2D50 %25%2C once%3B "a\b",-,-1,1,9,-1,300,2,ann,50 %25 more%2C "now"%3B \o/
item_added,15,default,3,late,5,-1,3,,
draw,16,default,308,2,best_effort,-,-,late
item_retired,17,default,gold,4,ann,50 %25 more%2C "now"%3B \o/
pool_state_changed,18,default,paused,ann,50 %25 more%2C "now"%3B \o/
snapshot,19,12,abababababababababababababababababababababababababababababababab
rotate,20,1,0000000000d19e57
marker,21
digest,22,ffffffffffffffff
closed,23,0000000000000000
leader_epoch,24,2
secret_changed,25,default,5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c
"#;

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn golden(format: Format) -> Vec<u8> {
    match format {
        Format::Binary => bytes(BINARY),
        Format::Json => JSON.as_bytes().to_vec(),
        Format::StringLine => STRING_LINE.as_bytes().to_vec(),
    }
}

#[test]
fn the_bytes_of_the_sample_never_change() {
    for format in Format::ALL {
        let (payload, count) = encode_all(format, lsn(7), &sample());
        assert_eq!(payload.escape_ascii().to_string(), golden(format).escape_ascii().to_string());
        assert_eq!(decode_all(format, &golden(format), lsn(7), count), Ok(sample()));
    }
}

#[test]
fn a_json_line_is_that_of_the_format_and_valid_json() {
    let mut names = Names::default();
    let mut out = Vec::new();
    for (place, (owned, line)) in sample().iter().zip(JSON.lines()).enumerate() {
        out.clear();
        let place = u64::try_from(place).unwrap();
        json_line(lsn(7 + place), &owned.borrow(), &names, &mut out);
        assert_eq!(str::from_utf8(&out).unwrap(), format!("{line}\n"));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["lsn"], 7 + place);
        apply(&owned.borrow(), &mut names);
    }
    let created: serde_json::Value = serde_json::from_str(JSON.lines().next().unwrap()).unwrap();
    assert_eq!(created["items"][1]["item"], "-50 %, once; \"a\\b\"");
    assert_eq!(created["items"][2]["weight"], u64::MAX >> 8);
}

fn fault_of(format: Format, payload: &[u8], count: u32) -> FormatFault {
    decode_all(format, payload, lsn(7), count).unwrap_err().fault
}

/// The fault of one more binary record after the first `before` of the sample.
fn binary_fault(before: usize, record: &str) -> FormatFault {
    let (mut payload, count) = encode_all(Format::Binary, lsn(7), &sample()[..before]);
    payload.extend(bytes(record));
    fault_of(Format::Binary, &payload, count + 1)
}

#[test]
fn reserved_and_unknown_binary_records_are_refused() {
    for tag in (0x0b..0x11).chain(0x13..0x80).chain([0]) {
        let fault = binary_fault(1, &format!("{tag:02x} 00 00 00"));
        assert_eq!(fault, FormatFault::UnknownRecord { tag });
    }
    for flags in [0x10, 0x20, 0x40, 0x70] {
        let fault = binary_fault(2, &format!("{:02x} 01", 0x80 | flags));
        assert_eq!(fault, FormatFault::UnknownFlags { flags });
    }
}

#[test]
fn wrong_binary_records_are_told_apart() {
    let cases = [
        (1, "80 01", FormatFault::MissingContext),
        (1, "81 ac 02 00 01", FormatFault::Truncated),
        (1, "81 00 00 01 01 03", FormatFault::RequestIdRange),
        (1, "81 ac 82 00 00 01 01 03", FormatFault::NumberForm),
        (1, "81 ff ff ff ff ff ff ff ff ff 02 00 01 01 03", FormatFault::NumberRange),
        (1, "81 ff ff ff ff ff ff ff ff ff 01 00 01 01 03", FormatFault::RequestIdRange),
        (1, "81 ac 02 01 01 01 03", FormatFault::UnknownPool),
        (1, "81 ac 02 00 01 02 03", FormatFault::OutcomeWidth { expected: 1, found: 2 }),
        (1, "81 ac 02 00 01 01 00", FormatFault::UnknownItem),
        (1, "81 ac 02 00 01 01 04", FormatFault::UnknownItem),
        (1, "81 ac 02 00 01 01 fe", FormatFault::UnknownItem),
        (2, "80 04", FormatFault::UnknownItem),
        (2, "80", FormatFault::Truncated),
        (2, "81 00 01 01 03", FormatFault::RepeatedContext),
        (2, "84 01 03", FormatFault::NumberForm),
        (2, "84 00", FormatFault::DrawCount),
        (2, "84 91 4e 01", FormatFault::DrawCount),
        (2, "84 90 4e 01", FormatFault::Truncated),
        (1, "01 01 07 64 65 66 61 75 6c 74", FormatFault::NotANewPool),
        (1, "01 02 01 64", FormatFault::NotANewPool),
        (1, "02 00 03", FormatFault::UnknownItem),
        (1, "02 00 00 03", FormatFault::UnknownValue),
        (1, "02 00 00 00 00 00 00 01 07 00", FormatFault::Note),
        (1, "02 00 00 00 81 80 80 80 80 80 80 80 80 01", FormatFault::NumberRange),
        (1, "03 00 04 01 61 00 00", FormatFault::NotANewItem),
        (1, "03 00 03 04 67 6f 6c 64 00 00", FormatFault::NotANewItem),
        (1, "03 00 03 01 ff", FormatFault::Utf8),
        (1, "05 00 03", FormatFault::UnknownValue),
        (1, "05 01 01", FormatFault::UnknownPool),
    ];
    for (before, record, fault) in cases {
        assert_eq!(binary_fault(before, record), fault, "{record}");
    }
}

/// A count that the payload cannot hold is refused before memory is asked for.
#[test]
fn a_catalogue_is_bounded_by_its_payload() {
    let mut payload = encode_all(Format::Binary, lsn(7), &sample()[..1]).0;
    payload.truncate(54);
    payload.extend([0xff, 0xff, 0xff, 0x7f, 4, b'g', b'o', b'l', b'd']);
    assert_eq!(fault_of(Format::Binary, &payload, 1), FormatFault::Truncated);
}

#[test]
fn wrong_text_records_are_told_apart() {
    let missing = |field| FormatFault::MissingField { field };
    let cases = [
        (Format::Json, r#"{"lsn":7,"type":"epoch_opened"}"#, FormatFault::UnknownType),
        (Format::Json, r#"{"lsn":7,"type":"marker","x":1}"#, FormatFault::ExtraField),
        (Format::Json, r#"{"lsn":7, "type":"marker"}"#, missing("type")),
        (Format::Json, r#"{"type":"marker","lsn":7}"#, missing("lsn")),
        (Format::Json, r#"{"lsn":07,"type":"marker"}"#, FormatFault::NumberForm),
        (Format::Json, r#"{"lsn":7.0,"type":"marker"}"#, missing("type")),
        (Format::Json, r#"{"lsn":18446744073709551616,"type":"marker"}"#, FormatFault::NumberRange),
        (Format::Json, r#"{"lsn":8,"type":"marker"}"#, FormatFault::Lsn { expected: 7, found: 8 }),
        (Format::Json, r#"{"lsn":7,"type":"digest","digest":"00"}"#, FormatFault::Hex),
        (
            Format::Json,
            r#"{"lsn":7,"type":"digest","digest":"00000000000000FF"}"#,
            FormatFault::Hex,
        ),
        (Format::Json, r#"{"lsn":7,"type":"draw","pool":"none"}"#, FormatFault::UnknownPool),
        (Format::StringLine, "epoch_opened,7", FormatFault::UnknownType),
        (Format::StringLine, "marker", missing("lsn")),
        (Format::StringLine, "marker,7,", FormatFault::ExtraField),
        (Format::StringLine, "marker,+7", FormatFault::NumberForm),
        (Format::StringLine, "marker,6", FormatFault::Lsn { expected: 7, found: 6 }),
        (Format::StringLine, "digest,7,0", FormatFault::Hex),
        (Format::StringLine, "draw,7,%64efault", FormatFault::Escape),
        (Format::StringLine, "draw,7,-", FormatFault::Escape),
        (Format::StringLine, "draw,7,%2d", FormatFault::Escape),
        (Format::StringLine, "draw,7,none", FormatFault::UnknownPool),
    ];
    for (format, line, fault) in cases {
        assert_eq!(fault_of(format, format!("{line}\n").as_bytes(), 1), fault, "{line}");
    }
}

#[test]
fn an_error_says_where() {
    let payload = STRING_LINE.replace("300", "3x0");
    let error = decode_all(Format::StringLine, payload.as_bytes(), lsn(7), 17).unwrap_err();
    let expected = FormatFault::MissingField { field: "catalog_version" };
    assert_eq!((error.offset, error.fault.clone()), (payload.find("x0").unwrap(), expected));
    assert_eq!(
        error.to_string(),
        format!(
            "here the field `catalog_version` should stand (at byte {} of the payload)",
            error.offset
        )
    );
}
