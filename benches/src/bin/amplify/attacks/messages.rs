//! Attacks on open WebSockets.

use ws_benches::frames::{frame, header, zeros};

use super::Attack;
use crate::{
    attacker::Answers::{Read, Unread},
    servers::Needs,
};

pub(super) fn attacks() -> Vec<Attack> {
    [of_frames(), of_control_frames(), of_memory(), of_compression()].into_iter().flatten().collect()
}

fn of_frames() -> Vec<Attack> {
    vec![
        Attack {
            name: "messages of one byte",
            bound: "linear",
            shown: "`fair` (tiny), `messages_of_one_read_are_answered_without_an_allocation_for_each`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(4)?;
                attacker.flood(sockets, &frame(0x82, &[7]).repeat(1000), 700_000, Read)
            },
        },
        Attack {
            name: "frames in single bytes",
            bound: "linear",
            shown: "`slow_frames_use_memory_only_for_received_bytes`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(20)?;
                attacker.drip(sockets, &frame(0x82, &[7; 500]));
                Ok(())
            },
        },
        Attack {
            name: "empty fragments",
            bound: "no memory, 1,024 of a message, then 1008",
            shown: "`ten_thousand_empty_fragments_cost_nothing_until_they_are_too_many`",
            needs: Needs::Nothing,
            run: |attacker| {
                attacker.write_on(20, &[frame(0x02, &[]), frame(0x00, &[]).repeat(50_000)].concat())
            },
        },
        Attack {
            name: "fragments of one byte",
            bound: "twice the payload and 4 KiB, 1,024 of a message",
            shown: "`a_message_in_one_byte_fragments_costs_at_most_twice_its_payload_and_4_kib`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(4)?;
                let message = [frame(0x02, &[7]), frame(0x00, &[7]).repeat(998), frame(0x80, &[7])].concat();
                attacker.flood(sockets, &message, 700_000, Read)
            },
        },
        Attack {
            name: "1 MiB of text, the last byte of which is not UTF-8",
            bound: "each byte is validated once, then 1007",
            shown: "`invalid_text_is_refused_at_the_first_byte_that_makes_it_certain`",
            needs: Needs::Nothing,
            run: |attacker| {
                let mut text = vec![b'a'; 1 << 20];
                text[(1 << 20) - 1] = 0xFF;
                attacker.write_on(20, &frame(0x81, &text))
            },
        },
        Attack {
            name: "text in mixed scripts, 1 MiB in fragments of 1,040 bytes",
            bound: "each byte is validated once",
            shown: "`a_message_in_small_fragments_costs_the_same_for_each_byte_however_it_is_cut`",
            needs: Needs::Nothing,
            run: |attacker| {
                let piece = "é世🚀a".repeat(104);
                let middle = frame(0x00, piece.as_bytes()).repeat(1000);
                attacker.write_on(10, &[frame(0x01, piece.as_bytes()), middle, frame(0x80, &[])].concat())
            },
        },
    ]
}

fn of_control_frames() -> Vec<Attack> {
    vec![
        Attack {
            name: "pings whose pongs are not read",
            bound: "at most 4 KiB of pongs wait, then the latest",
            shown: "`pings_of_clients_that_do_not_read_cost_no_memory`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(10)?;
                attacker.flood(sockets, &frame(0x89, &[7; 125]).repeat(500), 10 << 20, Unread)
            },
        },
        Attack {
            name: "pongs",
            bound: "no memory",
            shown: "`fair` (control), `the_read_timeout_is_kept_under_a_flood_of_control_frames`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(4)?;
                attacker.flood(sockets, &frame(0x8A, &[]).repeat(1000), 1 << 20, Read)
            },
        },
        Attack {
            name: "1 MiB of garbage behind a Close",
            bound: "dropped unread, 5 s",
            shown: "`a_flood_behind_the_end_keeps_nobody_waiting`",
            needs: Needs::Nothing,
            run: |attacker| {
                attacker.write_on(20, &[frame(0x88, &[0x03, 0xE8]), vec![0xFF; 1 << 20]].concat())
            },
        },
    ]
}

fn of_memory() -> Vec<Attack> {
    vec![
        Attack {
            name: "lengths of 1 MiB, of which 1 KiB arrives",
            bound: "memory grows with the received bytes",
            shown: "`a_claimed_length_costs_nothing_before_its_bytes_come`, `claimed_exabytes_use_memory_only_for_received_bytes`",
            needs: Needs::Nothing,
            run: |attacker| attacker.write_on(200, &[header(0x82, 1 << 20), vec![7; 1 << 10]].concat()),
        },
        Attack {
            name: "messages of 1 MiB that stop in the middle",
            bound: "the received bytes doubled, `stall_timeout`",
            shown: "`messages_that_stop_are_given_up_with_1008`",
            needs: Needs::Nothing,
            run: |attacker| attacker.write_on(50, &[header(0x82, 1 << 20), vec![7; 600 << 10]].concat()),
        },
        Attack {
            name: "echoes of 16 KiB that are not read",
            bound: "64 KiB wait, then no more is read",
            shown: "`readers_that_stop_use_memory_only_for_their_buffers`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(20)?;
                attacker.flood(sockets, &frame(0x82, &[7; 16 << 10]), 16 << 20, Unread)
            },
        },
        Attack {
            name: "echoes of one byte that are not read",
            bound: "64 KiB wait, then no more is read",
            shown: "`readers_that_stop_use_memory_only_for_their_buffers`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = attacker.open_all(10)?;
                attacker.flood(sockets, &frame(0x82, &[7]).repeat(1000), 4 << 20, Unread)
            },
        },
    ]
}

fn of_compression() -> Vec<Attack> {
    vec![
        Attack {
            name: "compressed messages of 1 KiB that become 1 MiB",
            bound: "`max_message_size`, 256 KiB in a turn",
            shown: "`fair` (inflate), `one_call_inflates_only_a_share_of_a_large_message`",
            needs: Needs::Deflate,
            run: |attacker| {
                let sockets = attacker.open_all(4)?;
                let bomb = frame(0xC2, &zeros(1 << 20));
                attacker.flood(sockets, &bomb, bomb.len() * 100, Read)
            },
        },
        Attack {
            name: "compressed messages that become 64 MiB",
            bound: "1009 at `max_message_size`",
            shown: "`a_bomb_ends_with_1009_and_never_takes_more_than_twice_the_limit`, `a_bomb_of_a_gibibyte_ends_with_1009_and_uses_little_memory`",
            needs: Needs::Deflate,
            run: |attacker| attacker.write_on(20, &frame(0xC2, &zeros(64 << 20))),
        },
        Attack {
            name: "compressed messages of 930 KiB without an end",
            bound: "`max_message_size` for each connection, `stall_timeout`",
            shown: "`a_bomb_ends_with_1009_and_never_takes_more_than_twice_the_limit`",
            needs: Needs::Deflate,
            run: |attacker| attacker.write_on(50, &frame(0x42, &zeros(930 << 10))),
        },
        Attack {
            name: "chains of empty final deflate blocks",
            bound: "16 KiB of them in a turn",
            shown: "`fair` (chain), `chains_of_final_blocks_are_inflated_in_several_calls`",
            needs: Needs::Deflate,
            run: |attacker| {
                let sockets = attacker.open_all(2)?;
                attacker.flood(sockets, &frame(0xC2, &[0x03, 0x00].repeat(32 << 10)), 1 << 20, Read)
            },
        },
        Attack {
            name: "chains of final deflate blocks with a letter each",
            bound: "16 KiB of them in a turn",
            shown: "`fair` (blocks), `chains_of_final_blocks_are_inflated_in_several_calls`",
            needs: Needs::Deflate,
            run: |attacker| {
                let sockets = attacker.open_all(2)?;
                attacker.flood(sockets, &frame(0xC2, &[0x4B, 0x04, 0x00].repeat(21 << 10)), 1 << 20, Read)
            },
        },
    ]
}
