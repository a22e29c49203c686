#!/bin/sh
# Makes client.cpp from a WSDL with gSOAP: build_gsoap.sh WSDL-ADDRESS BINDING SOAP-VERSION FOLDER (version 1 or 2)
set -e
wsdl=$1 binding=$2 version=$3 home=$(cd "$(dirname "$0")" && pwd) gsoap=/usr/share/gsoap
cd "$4"
wsdl2h -o booking.h "$wsdl"
printf '#import "wsse.h"\n' >> booking.h
soapcpp2 -j -x -C "-$version" -I"$gsoap/import" booking.h
printf '#include "soap%sProxy.h"\n#include "%s.nsmap"\ntypedef %sProxy Proxy;\n' "$binding" "$binding" "$binding" > binding.h
g++ -O0 -w -DWITH_OPENSSL -DWITH_DOM -I. -I"$gsoap" -I"$gsoap/plugin" -o client "$home/client.cpp" soapC.cpp \
    "soap${binding}Proxy.cpp" "$gsoap/plugin/wsseapi.cpp" "$gsoap/plugin/smdevp.c" "$gsoap/plugin/mecevp.c" \
    "$gsoap/plugin/threads.c" "$gsoap/custom/struct_timeval.c" -lgsoapssl++ -lssl -lcrypto
