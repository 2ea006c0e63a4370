//! Cookie jars that JavaScript holds by a number, and what it asks of them at once rather than through the queues.

use pinfetch_client::{CookieJar, Cookies, RequestError};
use url::Url;

use crate::engine::Core;
use crate::environment::reply;
use crate::wire::{Malformed, Reader, Write, jar};

/// Does what `request` asks of a jar; request and Reply are records.
pub(crate) fn cookie_jar(core: &Core, request: &[u8]) -> Vec<u8> {
    reply(answer(core, Reader::new(request)))
}

fn answer(core: &Core, mut request: Reader<'_>) -> Result<Vec<u8>, RequestError> {
    let mut out = Vec::new();
    let operation = request.u8()?;
    match operation {
        jar::NEW => out.u32(core.jars.add(CookieJar::new())),
        jar::FROM_JSON => {
            let jar = CookieJar::from_json(request.str()?).map_err(refused)?;
            out.u32(core.jars.add(jar));
        }
        jar::OF_CLIENT => match core.cookies_of(request.u32()?) {
            Some(Cookies::Jar(jar)) => out.u32(core.jars.add(jar)),
            _ => return Err(RequestError::ClientClosed),
        },
        _ => {
            let jar = core.jars.get(request.u32()?).ok_or(Malformed)?;
            match operation {
                jar::SET => {
                    let url = url(request.str()?)?;
                    jar.set(request.bytes()?, &url).map_err(refused)?;
                }
                jar::HEADER => {
                    let header = jar.header(&url(request.str()?)?);
                    out.bytes(header.as_ref().map_or(&[], |value| value.as_bytes()));
                }
                jar::COOKIES => {
                    let url = request.opt(Reader::str)?.map(url).transpose()?;
                    let json = url.map_or_else(|| jar.to_json(), |url| jar.to_json_for(&url));
                    out.str(&json);
                }
                jar::REMOVE => {
                    let (domain, path) = (request.str()?, request.str()?);
                    out.u8(jar.remove(domain, path, request.bytes()?).into());
                }
                jar::CLEAR => jar.clear(),
                _ => return Err(Malformed.into()),
            }
        }
    }
    Ok(out)
}

fn url(text: &str) -> Result<Url, RequestError> {
    Url::parse(text).map_err(|error| RequestError::Url {
        url: pinfetch_client::without_userinfo(text).into(),
        problem: error.to_string().into(),
    })
}

fn refused(error: impl std::fmt::Display) -> RequestError {
    RequestError::Argument(error.to_string().into())
}
