//! Settings of TLS in both adapters: authorities, encrypted keys, resumption and key logs.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use ws_std::{ClientTls, Error, ServerTls, TlsError};
use ws_tests::{
    Folder,
    certificates::{Authority, Identity},
    either::{Adapter, Client, Route, Running, Server, WebSocket},
    with_both_adapters,
};
use ws_transport::tls::rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ServerSessionMemoryCache, StoresServerSessions},
};

with_both_adapters! {
    a_shared_client_tls_resumes_its_session
    a_folder_of_authorities_is_trusted
    own_authorities_can_be_trusted_in_addition_to_the_default_ones
    a_chain_can_be_verified_without_the_name
    a_server_can_use_an_encrypted_key
    both_ends_write_the_same_secrets_to_their_key_logs
}

fn serve(adapter: Adapter, identity: &Identity) -> Running {
    Server::new(adapter).mount("/", Route::echo(adapter)).tls(identity.serving()).start()
}

fn connect(adapter: Adapter, server: &Running, tls: &ClientTls) -> Result<WebSocket, Error> {
    Client::new(adapter, &format!("wss://localhost:{}/", server.address().port())).tls(tls.clone()).connect()
}

fn echo(mut ws: WebSocket) {
    ws.send("Hello").unwrap();
    assert_eq!(ws.message(), "Hello");
}

fn tls_error(connected: Result<WebSocket, Error>) -> TlsError {
    match connected {
        Err(Error::Tls(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A memory of sessions that counts the resumed ones.
#[derive(Debug)]
struct Sessions {
    sessions: Arc<ServerSessionMemoryCache>,
    resumed: AtomicUsize,
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.sessions.take(key);
        self.resumed.fetch_add(usize::from(taken.is_some()), SeqCst);
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}

fn a_shared_client_tls_resumes_its_session(adapter: Adapter) {
    let identity = Authority::shared().server();
    let sessions =
        Arc::new(Sessions { sessions: ServerSessionMemoryCache::new(32), resumed: AtomicUsize::new(0) });
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.session_storage = sessions.clone();
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).tls_config(config).start();
    let shared = Authority::shared().trusted();
    for resumed in 0..3 {
        echo(connect(adapter, &server, &shared).unwrap());
        assert_eq!(sessions.resumed.load(SeqCst), resumed);
    }
    // Settings that have changed begin a new session.
    echo(connect(adapter, &server, &shared.default_authorities()).unwrap());
    echo(connect(adapter, &server, &Authority::shared().trusted()).unwrap());
    assert_eq!(sessions.resumed.load(SeqCst), 2);
}

fn a_folder_of_authorities_is_trusted(adapter: Adapter) {
    let (folder, authorities) = (Folder::new(), [Authority::new(), Authority::new()]);
    folder.write("first.pem", authorities[0].pem());
    folder.write("0123abcd.0", authorities[1].pem());
    folder.write("notes.txt", "no certificate");
    folder.write("key.pem", Authority::new().server().key);
    let path = folder.file("");
    for authority in &authorities {
        let server = serve(adapter, &authority.server());
        echo(connect(adapter, &server, &ClientTls::new().ca_folder(&path)).unwrap());
    }
    let server = serve(adapter, &Authority::shared().server());
    let refused = tls_error(connect(adapter, &server, &ClientTls::new().ca_folder(&path)));
    assert_eq!(refused, TlsError::UnknownAuthority);
    let empty = Folder::new();
    for path in [empty.file(""), empty.file("missing")] {
        let failed = tls_error(connect(adapter, &server, &ClientTls::new().ca_folder(path)));
        assert!(matches!(failed, TlsError::Pem(_)), "{failed:?}");
    }
}

fn own_authorities_can_be_trusted_in_addition_to_the_default_ones(adapter: Adapter) {
    let server = serve(adapter, &Authority::shared().server());
    echo(connect(adapter, &server, &Authority::shared().trusted().default_authorities()).unwrap());
    let refused = tls_error(connect(adapter, &server, &Authority::new().trusted().default_authorities()));
    assert_eq!(refused, TlsError::UnknownAuthority);
}

fn a_chain_can_be_verified_without_the_name(adapter: Adapter) {
    let authority = Authority::shared();
    let server = serve(adapter, &authority.server_named(&["other.example"]));
    let refused = tls_error(connect(adapter, &server, &authority.trusted()));
    assert!(matches!(refused, TlsError::WrongName { .. }), "{refused:?}");
    echo(connect(adapter, &server, &authority.trusted().danger_accept_any_name()).unwrap());
    let refused = tls_error(connect(adapter, &server, &Authority::new().trusted().danger_accept_any_name()));
    assert_eq!(refused, TlsError::UnknownAuthority);
    let expired = serve(adapter, &authority.expired_server());
    let refused = tls_error(connect(adapter, &expired, &authority.trusted().danger_accept_any_name()));
    assert_eq!(refused, TlsError::Expired);
    for contradictory in [
        ClientTls::new().danger_accept_any_name(),
        authority.trusted().default_authorities().danger_accept_any_name(),
        ClientTls::new().danger_accept_any_certificate().danger_accept_any_name(),
        ClientTls::new().danger_accept_any_certificate().default_authorities(),
    ] {
        let refused = tls_error(connect(adapter, &server, &contradictory));
        assert!(matches!(refused, TlsError::Contradiction(_)), "{refused:?}");
    }
}

/// A key, and the same key encrypted with a password by OpenSSL.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfdes2J7Qhqf+vYx4
Ati7Tgrg9Kew/3bX9LpAbckJWLqhRANCAARlY8gXJ3PbabzvecMMMGg1cQd3dfkV
ntOTvAKL980ZTmsNc3Ie9skcE5nZL8MTyDaxCreoZUuFfuR4Sf0pb2N9
-----END PRIVATE KEY-----
";
const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi2M3jjYlP1ZAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEKcOTg527FnZ5hEiHN/ld/0EgZB2
UapFYt2IQ/LbV+bbIKoxcVg/GEDG7AbREL6APlVnsAj4Am7KPRSZLq1g8tH8CWCN
lnatTp2L1DJ62q6o12OTlS9p6ZXefoj2jam5R4i/VpmM3Zbi+HFzLxhD0iaPVkU7
3M7SQcxfXkM6L60uEIpsMXATXkdNe8xWKePhR3DP4tjKbMbxj1tu/1qOHaeMPpQ=
-----END ENCRYPTED PRIVATE KEY-----
";
const PASSWORD: &str = "the password";

fn a_server_can_use_an_encrypted_key(adapter: Adapter) {
    let identity = Authority::shared().server_with_key(KEY);
    let chain = identity.chain.as_bytes();
    let tls = ServerTls::from_pem_with_password(chain, ENCRYPTED_KEY.as_bytes(), PASSWORD).unwrap();
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).tls(tls.clone()).start();
    echo(connect(adapter, &server, &Authority::shared().trusted()).unwrap());
    let folder = Folder::new();
    let files = [folder.write("chain.pem", chain), folder.write("key.pem", ENCRYPTED_KEY)];
    tls.certificates().replace_files_with_password(&files[0], &files[1], PASSWORD).unwrap();
    echo(connect(adapter, &server, &Authority::shared().trusted()).unwrap());
    for (failed, problem) in [
        (ServerTls::from_files_with_password(&files[0], &files[1], "another"), "the password is wrong"),
        (ServerTls::from_files(&files[0], &files[1]), "is encrypted"),
    ] {
        match failed {
            Err(TlsError::Pem(text)) => assert!(text.contains(problem) && text.contains("key.pem"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    // The key of a client certificate.
    let required = tls.require_clients_from(Authority::shared().pem().as_bytes());
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).tls(required).start();
    let client = Authority::shared().trusted().certificate_pem(chain, ENCRYPTED_KEY.as_bytes());
    let failed = tls_error(connect(adapter, &server, &client));
    assert!(matches!(failed, TlsError::Pem(_)), "{failed:?}");
    echo(connect(adapter, &server, &client.key_password(PASSWORD)).unwrap());
}

fn both_ends_write_the_same_secrets_to_their_key_logs(adapter: Adapter) {
    let folder = Folder::new();
    let [mine, theirs] = ["client", "server"].map(|name| folder.file(name));
    let tls = Authority::shared().server().serving().key_log_file(&theirs);
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).tls(tls).start();
    let client = Authority::shared().trusted().key_log_file(&mine);
    echo(connect(adapter, &server, &client).unwrap());
    let lines =
        |path: &Path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&mine), lines(&theirs));
    let labels: BTreeSet<_> =
        lines(&mine).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert!(
        labels.contains("CLIENT_TRAFFIC_SECRET_0") && labels.contains("SERVER_TRAFFIC_SECRET_0"),
        "{labels:?}"
    );
    let failed = tls_error(connect(adapter, &server, &client.key_log_file(folder.file("missing/log"))));
    assert!(matches!(failed, TlsError::Pem(_)), "{failed:?}");
}
