use super::*;
pub(crate) struct KeySet;
pub(crate) struct Claims;
impl KeySet { pub(crate) fn is_empty(&self)->bool{true} pub(crate) fn verify(&self,_t:&str,_n:std::time::SystemTime)->Result<Claims,TokenError>{Err(TokenError::Invalid)} }
impl Claims { pub(crate) fn grant(&self,_d:&coscribe_persistence::DocumentName)->Result<Grant,Denied>{Err(Denied::NoToken)} }
