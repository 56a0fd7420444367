//! Who asks: what a server wants to see before it answers, and where that comes from.
//!
//! A server is asked without credentials until it wants some. Then it says how: by name and password, or by a token that
//! somebody else gives for them. Tokens are kept for as long as they live, by what they allow. Of several threads that are
//! refused at once, one fetches the token that all of them use.

mod challenge;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod scope;
mod token;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ureq::http::{HeaderMap, header};

pub(super) use scope::Scope;

use super::host::Host;
use super::settings::{Credentials, Secret};
use super::{Registries, RegistryError};
use crate::source::http::base64;
use challenge::Challenge;
use token::Token;

/// What a server was told so far.
#[derive(Debug, Default)]
pub(super) struct Authenticator {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    credentials: Option<Option<Credentials>>,
    /// Whether it wants a name and a password with every request.
    basic: bool,
    tokens: HashMap<Scope, Token>,
}

/// The value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization(pub(super) String);

impl Authenticator {
    /// One that need not ask for credentials.
    pub(super) fn with(credentials: Credentials) -> Self {
        let state = State { credentials: Some(Some(credentials)), ..State::default() };
        Self { state: Mutex::new(state) }
    }

    /// What is sent along from the start, as far as it is known already.
    pub(super) fn known(&self, scope: &Scope) -> Option<Authorization> {
        let state = self.lock();
        match (&state.credentials, state.basic) {
            (Some(Some(Credentials::Password { user, password })), true) => {
                Some(Authorization(base64::basic(user, &password.0)))
            }
            _ => state.tokens.get(scope).filter(|token| token.is_fresh()).map(Token::authorization),
        }
    }

    /// What to send after the server refused `sent`; none if there is nothing better.
    pub(super) fn answer(
        &self,
        registries: &Registries,
        host: &Host,
        headers: &HeaderMap,
        scope: &Scope,
        sent: Option<&Authorization>,
    ) -> Result<Option<Authorization>, RegistryError> {
        let challenges: Vec<Challenge> = headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let mut state = self.lock();
        let credentials = match &state.credentials {
            Some(known) => known.clone(),
            None => {
                let found = registries
                    .keychain
                    .find(host.name())
                    .map_err(|reason| RegistryError::Keychain { registry: host.name().to_owned(), reason })?;
                state.credentials.insert(found).clone()
            }
        };
        if let Some(Credentials::Bearer(Secret(token))) = &credentials {
            let fixed = Authorization(format!("Bearer {token}"));
            state.tokens.insert(scope.clone(), Token::forever(token.clone()));
            return Ok((sent != Some(&fixed)).then_some(fixed));
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
            Challenge::Basic => None,
        });
        if let Some((realm, service, asked)) = bearer {
            // Another thread was here before.
            let newer = state.tokens.get(scope).filter(|token| token.is_fresh()).map(Token::authorization);
            if newer.is_some() && newer.as_ref() != sent {
                return Ok(newer);
            }
            let all = scope.and(&Scope::parse(asked.as_deref().unwrap_or_default()));
            let token = token::fetch(registries, host, realm, service.as_deref(), &all, credentials.as_ref())?;
            let authorization = token.authorization();
            state.tokens.insert(scope.clone(), token);
            return Ok(Some(authorization));
        }
        match (credentials, challenges.contains(&Challenge::Basic)) {
            (Some(Credentials::Password { user, password }), true) => {
                state.basic = true;
                let authorization = Authorization(base64::basic(&user, &password.0));
                Ok((sent != Some(&authorization)).then_some(authorization))
            }
            _ => Ok(None),
        }
    }

    /// Whether there are credentials that the server was given.
    pub(super) fn has_credentials(&self) -> bool {
        matches!(self.lock().credentials, Some(Some(_)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
