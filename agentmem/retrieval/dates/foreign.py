"""Words of times in German, French, Spanish, Italian, Dutch, Portuguese, Polish and others.

Their times are not read; these words tell that a time in digits, or one that English spells alike,
means something else: "seit April 2023".
"""

from __future__ import annotations

# Months, weekdays and units, without those that English has too.
TIMES = frozenset(
    "januar jänner februar feber märz maerz mai juni juli oktober dezember montag dienstag "
    "mittwoch donnerstag freitag samstag sonnabend sonntag gestern vorgestern heute januari "
    "februari maart mei augustus maandag dinsdag woensdag donderdag vrijdag zaterdag zondag "
    "gisteren eergisteren vandaag janvier février fevrier avril juin juillet août aout septembre "
    "octobre novembre décembre decembre lundi mardi mercredi jeudi vendredi samedi dimanche hier "
    "aujourd'hui enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre "
    "noviembre diciembre lunes martes miércoles jueves viernes sábado domingo ayer anteayer hoy "
    "gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre lunedì martedì "
    "mercoledì giovedì venerdì sabato domenica ieri oggi janeiro fevereiro março maio junho julho "
    "setembro outubro novembro dezembro ontem hoje segunda-feira terça-feira quarta-feira "
    "quinta-feira sexta-feira styczeń stycznia styczniu luty lutego lutym marzec marca marcu "
    "kwiecień "
    "kwietnia kwietniu maja maju czerwiec czerwca czerwcu lipiec lipca lipcu sierpień sierpnia "
    "sierpniu wrzesień września wrześniu październik października październiku listopad listopada "
    "listopadzie grudzień grudnia grudniu wczoraj dzisiaj maj augusti jahr jahre jahren monat "
    "monate monaten woche wochen tag tage tagen jaar jaren maand maanden weken dag dagen année "
    "années ans mois semaine jours año años mes meses semana semanas días anno anni mese mesi "
    "settimana giorni ano dias roku lat rok miesiąc tygodni".split()
)

# "from", "until", "and" and the like: beside these, the words of a time mean something else.
RELATIONS = frozenset(
    "und oder bis seit vor nach ab zwischen anfang ende mitte letzten letzter letztes gegen außer "
    "en tot sinds vanaf voor na tussen eind einde vorige vorig afgelopen behalve t/m et ou depuis "
    "avant après jusqu'au jusqu'à entre dès fin début sauf y o desde hasta antes después hacia "
    "excepto salvo finales principios mediados e dal fino prima dopo tra fra eccetto inizio metà "
    "até depois fim início exceto oraz lub albo od przed między połowie końcu och eller från til "
    "sedan siden före før efter etter mellan mellem mellom vom zum van du au del al "
    "dall partir".split()
)
# What may stand between the two.
ARTICLES = frozenset(
    "der das dem den des am im de het op le la les el los il lo nel nell da em w".split()
)
# Relations that are words of English too, or single letters.
SHORT = frozenset("do po na od z a i o".split())
