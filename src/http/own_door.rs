//! Logging in where nothing may be written: the link and the sessions are this process's own, and
//! end with it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::billing::Instant;
use crate::store::tokens::sessions::Digest;
use crate::store::tokens::{Scope, Token};

/// Sessions that are kept: whoever began the process begins few.
const MOST: usize = 16;

/// A door that one link opens, once.
pub(super) struct OwnDoor {
    token: Arc<Token>,
    kept: Mutex<Kept>,
}

struct Kept {
    link: Option<Digest>,
    sessions: Vec<Digest>,
}

impl OwnDoor {
    /// The door of that link. `now` is when it was made.
    pub(super) fn of(link: Digest, now: Instant) -> Self {
        let token = Token {
            name: "read-only".to_owned(),
            scopes: vec![Scope::Read],
            org: None,
            expires_at: None,
            last_used_at: None,
            now,
        };
        let kept = Mutex::new(Kept { link: Some(link), sessions: Vec::new() });
        Self { token: Arc::new(token), kept }
    }

    /// Uses the link up; false for another one, and for one that was used.
    pub(super) fn use_link(&self, digest: &Digest) -> bool {
        self.with(|kept| kept.link.take_if(|link| link == digest).is_some())
    }

    /// Begins a session. The oldest one ends where there are too many.
    pub(super) fn begin(&self, digest: Digest) {
        self.with(|kept| {
            kept.sessions.push(digest);
            if kept.sessions.len() > MOST {
                kept.sessions.remove(0);
            }
        });
    }

    /// Ends a session.
    pub(super) fn end(&self, digest: &Digest) {
        self.with(|kept| kept.sessions.retain(|known| known != digest));
    }

    /// The token that a session acts for: it reads everything.
    pub(super) fn token_of(&self, digest: &Digest) -> Option<Arc<Token>> {
        let is_known = self.with(|kept| kept.sessions.contains(digest));
        is_known.then(|| Arc::clone(&self.token))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        // Whole after every step.
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_it_once_and_sessions_end() {
        let door = OwnDoor::of([1; 32], Instant::MIN);
        assert!(!door.use_link(&[2; 32]), "another link");
        assert!(door.use_link(&[1; 32]));
        assert!(!door.use_link(&[1; 32]), "used");
        door.begin([3; 32]);
        let token = door.token_of(&[3; 32]).expect("a session");
        assert_eq!((token.org, token.scopes.as_slice()), (None, &[Scope::Read][..]));
        door.end(&[3; 32]);
        assert!(door.token_of(&[3; 32]).is_none());
    }

    #[test]
    fn the_oldest_session_gives_way() {
        let door = OwnDoor::of([0; 32], Instant::MIN);
        for number in 1..=17 {
            door.begin([number; 32]);
        }
        assert!(door.token_of(&[1; 32]).is_none());
        assert!(door.token_of(&[2; 32]).is_some() && door.token_of(&[17; 32]).is_some());
    }
}
