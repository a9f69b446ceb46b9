"""Operations and networks: `plan` and `cost` describe and price them without torch, `ops` and `cell` build them."""
