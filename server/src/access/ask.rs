use super::*;
use std::sync::Arc;
pub(crate) struct Ask;
pub(crate) struct Question { pub(crate) credentials: Arc<Credentials>, pub(crate) document: coscribe_persistence::DocumentName, pub(crate) dialect: &'static str, pub(crate) address: std::net::IpAddr }
impl Ask { pub(crate) fn decide(&self,_q:Question)->impl Future<Output=Result<Grant,Denied>>+Send+'static{async{Err(Denied::Unavailable)}} pub(crate) fn forget(&self,_d:Option<&coscribe_persistence::DocumentName>,_s:Option<&str>){} }
