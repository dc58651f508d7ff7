//! The admission server (RFC 2865): lets in the one user that every testbed has, and nobody else.

use crate::{
    model::service::TESTBED_USER,
    wire::radius::{Code, Request},
};

/// The reply to a request; `None` to who does not know the secret: it is to be ignored (RFC 2865 section 3).
pub(super) fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let user = TESTBED_USER;
    let request = Request::read(request, user.secret.as_bytes()).ok()?;
    let known = (request.user.as_str(), request.password.as_str()) == (user.name, user.password);
    let code = if known { Code::Accept } else { Code::Reject };
    Some(request.answer(code, user.secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_is_let_in_and_a_wrong_one_is_not() {
        let ask = |password: &str| {
            let (user, password) = (TESTBED_USER.name.to_owned(), password.to_owned());
            let request = Request { id: 1, authenticator: [3; 16], user, password };
            let secret = TESTBED_USER.secret.as_bytes();
            let octets = request.write(secret, [192, 0, 2, 1].into());
            request.read_answer(&answer(&octets).unwrap(), secret)
        };
        assert_eq!(ask(TESTBED_USER.password), Ok(Code::Accept));
        assert_eq!(ask("guessed"), Ok(Code::Reject));
        assert_eq!(answer(b"not RADIUS at all"), None);
    }
}
