//! The time at which replies are sent in the loops of the documentation.

use std::sync::{Arc, Mutex, mpsc};

use ws_tests::{
    PATIENCE, Raw, Transport,
    either::{Adapter, Pairing, Route},
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    answers_to_what_came_at_once_leave_by_one_write
    an_answer_that_is_sent_leaves_before_the_loop_does_anything_else
}

fn answers_to_what_came_at_once_leave_by_one_write(adapter: Adapter) {
    let pairing = Pairing::of(adapter, Transport::Plain);
    let server = pairing.serve(Route::echo(adapter)).start();
    Raw::open(server.address(), "/").expect_echoes_at_once();
}

fn an_answer_that_is_sent_leaves_before_the_loop_does_anything_else(adapter: Adapter) {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    // Block like a long computation: nothing else runs in this thread until the client has the reply.
    let compute = move || released.lock().unwrap().recv_timeout(PATIENCE).expect("the test has the answer");
    let route = match adapter {
        Adapter::Std => Route::Std(ws_std::Route::new(move |_, mut ws| {
            while let Some(message) = ws.receive()? {
                ws.send(message)?;
                compute();
            }
            Ok(())
        })),
        Adapter::Smol => {
            let compute = Arc::new(compute);
            Route::Smol(ws_smol::Route::new(move |_, mut ws| {
                let compute = compute.clone();
                async move {
                    while let Some(message) = ws.receive().await? {
                        ws.send(message).await?;
                        compute();
                    }
                    Ok(())
                }
            }))
        }
    };
    let pairing = Pairing::of(adapter, Transport::Plain);
    let server = pairing.serve(route).start();
    let mut raw = Raw::open(server.address(), "/");
    // Several messages at once, so that the next one is available while the reply has to be sent.
    raw.write(
        (0..10).flat_map(|number| Frame::text(&number.to_string()).masked().encode()).collect::<Vec<_>>(),
    );
    for number in 0..10 {
        assert_eq!(raw.frame(), Frame::text(&number.to_string()));
        release.send(()).unwrap();
    }
}
